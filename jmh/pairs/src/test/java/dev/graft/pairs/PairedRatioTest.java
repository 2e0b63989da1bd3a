package dev.graft.pairs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class PairedRatioTest {
    /** Conover's table for the sign test: of 15 values the 4th and the 12th enclose the median at 96.5 %. */
    @Test
    void fifteenPairsGiveTheFourthAndTheTwelfth() {
        PairedRatio ratio = PairedRatio.of(IntStream.rangeClosed(1, 15).map(i -> 16 - i).asDoubleStream().toArray());
        assertEquals(8, ratio.median());
        assertEquals(4, ratio.low());
        assertEquals(12, ratio.high());
        // exact: 1 - 2 * (1 + 15 + 105 + 455) / 2^15; the tolerance is rounding alone
        assertEquals(1 - 2 * 576 / 32768.0, ratio.coverage(), 1e-12);
    }

    @Test
    void fewPairsGiveTheirRangeAndSayItsCoverage() {
        PairedRatio ratio = PairedRatio.of(1.2, 0.9, 1.0);
        assertEquals(1.0, ratio.median());
        assertEquals(0.9, ratio.low());
        assertEquals(1.2, ratio.high());
        assertEquals(0.75, ratio.coverage(), 1e-12);
    }

    @Test
    void anEvenNumberTakesTheMiddleOfTwo() {
        assertEquals(1.5, PairedRatio.of(1, 2, 3, 1).median());
    }

    @Test
    void noPairIsRefused() {
        assertThrows(IllegalArgumentException.class, PairedRatio::of);
    }
}
