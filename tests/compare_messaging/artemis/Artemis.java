import org.apache.activemq.artemis.api.core.SimpleString;
import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;
import org.apache.activemq.artemis.core.settings.impl.AddressSettings;

/** Artemis in memory, with STOMP on the port that is given and attributes of addresses by their names. */
public class Artemis {
    private static AddressSettings settings() {
        return new AddressSettings().setDeadLetterAddress(SimpleString.of("DLQ"))
            .setAutoDeleteQueues(false).setAutoDeleteAddresses(false);
    }

    public static void main(String[] arguments) throws Exception {
        var configuration = new ConfigurationImpl();
        configuration.setPersistenceEnabled(false).setSecurityEnabled(false).setJMXManagementEnabled(false);
        configuration.addAcceptorConfiguration("stomp", "tcp://127.0.0.1:" + arguments[0]
            + "?protocols=STOMP;anycastPrefix=/queue/;multicastPrefix=/topic/");
        var key = SimpleString.of("symbol");
        configuration.addAddressSetting("#", settings());
        configuration.addAddressSetting("ring.#", settings().setDefaultRingSize(3));
        configuration.addAddressSetting("retro.#", settings().setRetroactiveMessageCount(2));
        configuration.addAddressSetting("last.#", settings().setDefaultLastValueKey(key));
        configuration.addAddressSetting("show.#",
            settings().setDefaultLastValueKey(key).setDefaultNonDestructive(true));
        var broker = new EmbeddedActiveMQ();
        broker.setConfiguration(configuration);
        broker.start();
    }
}
