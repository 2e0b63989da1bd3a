package dev.graft.evaluate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class IntervalTest {
    @Test
    void oneRunHasNoSpread() {
        assertEquals(new Interval(1, .5, null, null, null), Interval.of(.5));
    }

    @Test
    void equalRunsHaveAnIntervalOfNoWidth() {
        assertEquals(new Interval(3, 2, 0., 2., 2.), Interval.of(2, 2, 2));
    }

    @Test
    void nothingAndNotANumberAreRefused() {
        assertEquals("an interval needs at least one value",
                assertThrows(IllegalArgumentException.class, Interval::of).getMessage());
        assertEquals("value 1 is NaN, expected a finite number",
                assertThrows(IllegalArgumentException.class, () -> Interval.of(1, Double.NaN)).getMessage());
    }
}
