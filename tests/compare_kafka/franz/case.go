package main

import (
	"context"
	"errors"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// After this a scenario goes on without what it waited for, and so differs.
const wait = 15 * time.Second

// Case is one run of a scenario: a broker's addresses, names that no other run uses, clients that end with it.
type Case struct {
	Bootstrap, SaslBootstrap string
	ending                   string
	clients                  []*kgo.Client
}

func (c *Case) name(word string) string { return word + c.ending }

func (c *Case) saw(what string, values ...any) { say(append([]any{what}, values...)) }

func (c *Case) restart() {
	say("restart")
	input.Scan()
}

func (c *Case) close() {
	for _, client := range c.clients {
		client.CloseAllowingRebalance()
	}
}

// client returns a client with quick settings, which lives as long as the case unless it is closed before.
func (c *Case) client(options ...kgo.Opt) *kgo.Client {
	client := must(kgo.NewClient(c.with(options)...))
	c.clients = append(c.clients, client)
	return client
}

func (c *Case) with(options []kgo.Opt) []kgo.Opt {
	common := []kgo.Opt{
		kgo.SeedBrokers(c.Bootstrap),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.RecordDeliveryTimeout(wait),
	}
	return append(common, options...)
}

func (c *Case) admin() *kadm.Client { return kadm.NewClient(c.client()) }

// topic makes a topic and returns its name.
func (c *Case) topic(word string, partitions int32) string {
	name := c.name(word)
	must(c.admin().CreateTopic(limit(), partitions, 1, nil, name))
	return name
}

// reading says how a consumer reads from the beginning, with little delay.
func reading(options ...kgo.Opt) []kgo.Opt {
	common := []kgo.Opt{
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(20 * time.Millisecond),
	}
	return append(common, options...)
}

// member says how a member of the case's group behaves.
func (c *Case) member(topic string, options ...kgo.Opt) []kgo.Opt {
	common := []kgo.Opt{
		kgo.ConsumerGroup(c.name("group")),
		kgo.ConsumeTopics(topic),
		kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.SessionTimeout(6 * time.Second),
		kgo.DisableAutoCommit(),
	}
	return reading(append(common, options...)...)
}

func limit() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	time.AfterFunc(wait, cancel)
	return ctx
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(named(err))
	}
}

// named returns what a transcript shows of an error: the name of Kafka's code, or its text; nil if there is none.
func named(err error) any {
	var code *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &code):
		return code.Message
	default:
		return err.Error()
	}
}

// send produces values one after the other; it returns where each is, or the name of its error.
func send(client *kgo.Client, topic string, values ...string) []any {
	var records []*kgo.Record
	for _, value := range values {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte(value)})
	}
	return places(client.ProduceSync(limit(), records...))
}

func places(results kgo.ProduceResults) []any {
	var found []any
	for _, result := range results {
		if result.Err != nil {
			found = append(found, named(result.Err))
		} else {
			found = append(found, []any{result.Record.Partition, result.Record.Offset})
		}
	}
	return found
}

// poller is what polls: a client, or a session of a group and a transaction.
type poller interface {
	PollRecords(ctx context.Context, most int) kgo.Fetches
}

// read polls until so many records have come.
func read(from poller, count int) []*kgo.Record {
	var records []*kgo.Record
	ctx := limit()
	for len(records) < count {
		fetches := from.PollRecords(ctx, count-len(records))
		check(ctx.Err())
		fetches.EachError(func(_ string, _ int32, err error) {
			if code := new(kerr.Error); errors.As(err, &code) {
				check(err) // What a broker says; a connection that is lost comes back by itself.
			}
		})
		records = append(records, fetches.Records()...)
	}
	return records
}

func offsetsAndValues(records []*kgo.Record) []any {
	var found []any
	for _, record := range records {
		found = append(found, []any{record.Offset, string(record.Value)})
	}
	return found
}

// all reads so many records of a topic with one partition.
func (c *Case) all(topic string, count int, level kgo.IsolationLevel) []any {
	client := c.client(reading(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(level))...)
	defer client.Close()
	return offsetsAndValues(read(client, count))
}

// owner notes which partitions its client has at the moment, and how they came and went.
type owner struct {
	events chan change
	owned  map[int32]bool
	words  []string
}

type change struct {
	what       string
	partitions []int32
}

func newOwner() *owner { return &owner{make(chan change, 100), map[int32]bool{}, nil} }

func (o *owner) noting() []kgo.Opt {
	note := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			for _, partitions := range topics {
				o.events <- change{what, partitions}
			}
		}
	}
	return []kgo.Opt{
		kgo.OnPartitionsAssigned(note("given")),
		kgo.OnPartitionsRevoked(note("taken")),
		kgo.OnPartitionsLost(note("lost")),
	}
}

// until waits for the owner to have so many partitions; it returns which.
func (o *owner) until(count int) []int32 {
	late := time.After(wait)
	for len(o.owned) != count {
		select {
		case event := <-o.events:
			o.words = append(o.words, event.what)
			for _, partition := range event.partitions {
				if event.what == "given" {
					o.owned[partition] = true
				} else {
					delete(o.owned, partition)
				}
			}
		case <-late:
			panic("still " + strings.Join(o.words, ", "))
		}
	}
	return sorted(o.owned)
}

func sorted(numbers map[int32]bool) []int32 {
	found := []int32{}
	for number := range numbers {
		found = append(found, number)
	}
	sort.Slice(found, func(i, j int) bool { return found[i] < found[j] })
	return found
}
