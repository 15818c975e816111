import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's console tools one after the other, as they are, in one virtual machine: each would take a second to
 * start by itself. A line of the input is a command: the class, its standard input and its arguments, in base64 with
 * commas between. The answer is a line: the exit code, a comma, and what the tool wrote, in base64.
 */
public class ConsoleTools {
    /** What a tool throws in place of ending this process; some catch it, and end once more. */
    private static class Ended extends Error {
        Ended() {
            super("ended", null, false, false);
        }
    }

    /** Standard output and error, which some classes keep when they are loaded. */
    private static class Switched extends OutputStream {
        private OutputStream target = OutputStream.nullOutputStream();

        @Override
        public synchronized void write(int one) throws java.io.IOException {
            target.write(one);
        }

        @Override
        public synchronized void write(byte[] bytes, int from, int count) throws java.io.IOException {
            target.write(bytes, from, count);
        }
    }

    private static Integer ended;

    public static void main(String[] unused) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        Switched written = new Switched();
        System.setOut(new PrintStream(written, true, StandardCharsets.UTF_8));
        System.setErr(System.out);
        Exit.Procedure end = (code, message) -> {
            if (ended == null) {
                ended = code;
            }
            written.target = OutputStream.nullOutputStream();
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        for (String line; (line = commands.readLine()) != null; ) {
            String[] parts = Arrays.stream(line.split(",", -1)).map(ConsoleTools::decoded).toArray(String[]::new);
            ByteArrayOutputStream output = new ByteArrayOutputStream();
            written.target = output;
            System.setIn(new ByteArrayInputStream(parts[1].getBytes(StandardCharsets.UTF_8)));
            ended = null;
            int code = run(parts[0], Arrays.copyOfRange(parts, 2, parts.length));
            hooks.forEach(Runnable::run);
            hooks.clear();
            System.out.flush();
            answers.println(code + "," + Base64.getEncoder().encodeToString(output.toByteArray()));
        }
    }

    private static String decoded(String part) {
        return new String(Base64.getDecoder().decode(part), StandardCharsets.UTF_8);
    }

    private static int run(String tool, String[] arguments) throws Exception {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException thrown) {
            if (ended == null) {
                System.out.println(thrown.getCause());
                return 1;
            }
        }
        return ended == null ? 0 : ended;
    }
}
