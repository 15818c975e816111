import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Plays scenarios with Kafka's Java client: a line of the input names one, and the answer is what the client saw.
 *
 * <p>A line holds the scenario, the broker's addresses without and with a login, and the ending of this run's names,
 * with tabs between. The answer is lines of JSON: an array is a line of the transcript; the string "restart" asks for a
 * restart of the broker, which a line of the input reports as done; the string "end" is the last.
 */
public class Main {
    interface Scenario {
        void play(Case run) throws Exception;
    }

    public static void main(String[] unused) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Map<String, Scenario> scenarios = new HashMap<>(Transactions.SCENARIOS);
        scenarios.putAll(Clients.SCENARIOS);
        scenarios.putAll(Administration.SCENARIOS);
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split("\t");
            try (Case run = new Case(words[1], words[3], input, output)) {
                try {
                    scenarios.get(words[0]).play(run);
                } catch (Exception thrown) {
                    // A client that gives up is an answer, too.
                    run.saw("raised", Case.named(thrown), String.valueOf(thrown.getMessage()));
                }
                run.say("end");
            }
        }
    }
}
