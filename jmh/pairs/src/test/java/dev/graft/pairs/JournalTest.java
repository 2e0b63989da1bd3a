package dev.graft.pairs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalTest {
    private static final Map<String, String> HERE = Map.of("cpu", "test");

    @TempDir
    Path folder;

    @Test
    void aRunThatWasCutOffGoesOnWhereItStopped() throws IOException {
        Path file = folder.resolve("r.csv");
        Journal journal = Journal.open(file, HERE);
        journal.add(line("graft", 0, 100));
        Files.writeString(file, "2026-01-01T00:00:00,softmax_ce,f3", StandardOpenOption.APPEND);

        Journal again = Journal.open(file, HERE);
        assertTrue(again.holds(Row.key(Workload.SOFTMAX_CE, "f32", 0, "graft")));
        assertFalse(again.holds(Row.key(Workload.SOFTMAX_CE, "f32", 0, "tuned")));
        again.add(line("tuned", 0, 300));
        assertEquals(2, Journal.read(file).size());
    }

    @Test
    void aFileOfAnotherMachineIsRefused() {
        Path file = folder.resolve("r.csv");
        Journal.open(file, HERE);
        assertThrows(IllegalStateException.class, () -> Journal.open(file, Map.of("cpu", "another")));
    }

    @Test
    void summaryPairsRowsOfOneRound() {
        Journal journal = Journal.open(folder.resolve("r.csv"), HERE);
        journal.add(line("graft", 0, 100));
        journal.add(line("tuned", 0, 320));
        journal.add(line("tuned", 1, 200));
        journal.add(line("graft", 1, 50));
        journal.add(line("graft", 2, 1));
        List<String> lines = Summary.of(journal.rows());
        assertEquals(
                List.of(
                        Summary.HEADER,
                        "softmax_ce,f32,tuned,speed,3.600,3.200,4.000,0.500,2,75.000,260.000,3.0,yes",
                        "softmax_ce,f32,tuned,memory,1.000,1.000,1.000,0.500,2,2048.000,2048.000,,"),
                lines);
    }

    @Test
    void summaryHasFiguresOfGraftItself() {
        Journal journal = Journal.open(folder.resolve("r.csv"), HERE);
        Request request = new Request(Workload.FEATURE_CACHE, "graft", "f32", 2, 0, 1);
        Measurement measurement =
                new Measurement(new double[] {5}, 1, 0, new double[0], Map.of("second_epoch_speedup", "19.5"));
        journal.add(Row.line("2026-01-01T00:00:00", request, 0, measurement));
        assertEquals(
                "feature_cache,f32,graft,second_epoch_speedup,19.500,19.500,19.500,0.000,1,19.500,,20.0,no",
                Summary.of(journal.rows()).get(1));
    }

    @Test
    void aMeasurementSurvivesItsLine() {
        Measurement measurement = new Measurement(new double[] {2, 1, 3}, 7, 0.5, new double[] {4}, Map.of("a", "b,c"));
        Measurement read = Measurement.parse(measurement.json());
        assertEquals(2, read.medianMilliseconds());
        assertEquals(7, read.peakKilobytes());
        assertEquals(Map.of("a", "b,c"), read.settings());
    }

    private static String line(String side, int round, double milliseconds) {
        Measurement measurement =
                new Measurement(new double[] {milliseconds}, 2048, 0, new double[0], Map.of("library", "a, b"));
        return Row.line("2026-01-01T00:00:00", new Request(Workload.SOFTMAX_CE, side, "f32", 2, 1, 1), round, measurement);
    }
}
