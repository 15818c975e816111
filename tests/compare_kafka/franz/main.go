// Plays scenarios with franz-go: a line of the input names one, and the answer is what the client saw.
//
// A line holds the scenario, the broker's addresses without and with a login, and the ending of this run's names,
// with tabs between. The answer is lines of JSON: an array is a line of the transcript; the string "restart" asks
// for a restart of the broker, which a line of the input reports as done; the string "end" is the last.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

var input = bufio.NewScanner(os.Stdin)

func main() {
	for input.Scan() {
		words := strings.Split(input.Text(), "\t")
		play(&Case{Bootstrap: words[1], SaslBootstrap: words[2], ending: words[3]}, scenarios[words[0]])
		say("end")
	}
}

// play runs a scenario. What it panics with is its last line: a client that gives up is an answer too.
func play(c *Case, scenario func(*Case)) {
	defer c.close()
	defer func() {
		if fault := recover(); fault != nil {
			c.saw("raised", fmt.Sprint(fault))
		}
	}()
	scenario(c)
}

func say(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}
