package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.graft.golden.GoldenFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rates are those of PyTorch's schedulers, or follow their formula where PyTorch has no such scheduler. */
class ScheduleTest {
    /** Both sides compute in double; the formulas are arranged differently. */
    private static final double ROUNDING = 1e-12;

    @ParameterizedTest
    @CsvSource({"constant, CONSTANT, 0", "cosine, COSINE, 0", "warmup_cosine, COSINE, 6", "onecycle, ONECYCLE, 0", "step, STEP, 0"})
    void ratesAreThoseOfPyTorch(String name, Schedule schedule, int warmup) {
        GoldenFile golden = GoldenFile.open("schedules");
        double rate = golden.json("cases").get(name).get("rate").doubleValue();
        double[] expected = golden.values(name);
        for (int t = 0; t < expected.length; t++) {
            assertEquals(expected[t], rate * schedule.factor(t, expected.length, warmup), ROUNDING * rate, name + " at update " + t);
        }
    }

    @ParameterizedTest
    @CsvSource({"8, 6", "10, 8", "1, 1", "4, 3"})
    void stepFallsToATenthInTheLastQuarter(int total, int first) {
        for (int t = 0; t < total; t++) {
            assertEquals(t < first ? 1 : 0.1, Schedule.STEP.factor(t, total, 0), "update " + t + " of " + total);
        }
    }

    @Test
    void warmupRisesLinearlyAndTheScheduleSpansTheRest() {
        for (Schedule schedule : Schedule.values()) {
            for (int t = 0; t < 5; t++) {
                assertEquals((t + 1) / 5.0, schedule.factor(t, 25, 5), ROUNDING);
            }
            for (int t = 5; t < 25; t++) {
                assertEquals(schedule.factor(t - 5, 20, 0), schedule.factor(t, 25, 5), schedule + " at update " + t);
            }
        }
    }

    @Test
    void everyFactorIsAboveZeroAndAtMostOneWhateverTheLength() {
        for (Schedule schedule : Schedule.values()) {
            for (int total = 1; total < 40; total++) {
                for (int t = 0; t < total; t++) {
                    double factor = schedule.factor(t, total, 0);
                    assertEquals(1, Math.min(1, Math.max(factor, Double.MIN_VALUE)) / factor, schedule + " at " + t + " of " + total);
                }
            }
        }
    }

    @Test
    void updatesOutsideOfTheRunAreRefused() {
        assertEquals("schedule: update 5 of 5 with 0 of warm-up; expected 0 <= update < total and 0 <= warm-up < total",
                assertThrows(IllegalArgumentException.class, () -> Schedule.COSINE.factor(5, 5, 0)).getMessage());
        assertThrows(IllegalArgumentException.class, () -> Schedule.COSINE.factor(0, 5, 5));
        assertThrows(IllegalArgumentException.class, () -> Schedule.COSINE.factor(-1, 5, 0));
    }
}
