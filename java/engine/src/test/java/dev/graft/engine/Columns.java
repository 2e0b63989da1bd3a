package dev.graft.engine;

import java.util.stream.Stream;

/** The columns that laws are held to: a GPU is one of them where the system property {@code graft.test.device} names it. */
final class Columns {
    private Columns() {}

    static Stream<String> all() {
        String device = System.getProperty("graft.test.device", "");
        return device.isEmpty() ? Stream.of("reference", "cpu") : Stream.of("reference", "cpu", device);
    }
}
