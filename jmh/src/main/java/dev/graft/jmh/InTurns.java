package dev.graft.jmh;

import dev.graft.pairs.PairedRatio;
import dev.graft.pairs.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Two ways of Graft in turns within one process, the first now before and now behind the second; what counts is the first. */
final class InTurns implements Step, AutoCloseable {
    static final String RATIO = "time_ratio";

    private final Step first;
    private final Step second;
    private final Map<String, String> settings;
    private final List<Double> ratios = new ArrayList<>();
    private double milliseconds;

    /** @param settings where the median of the first's time over the second's is told, as {@value #RATIO} */
    InTurns(Step first, Step second, Map<String, String> settings) {
        this.first = first;
        this.second = second;
        this.settings = settings;
    }

    @Override
    public double run() {
        boolean swapped = ratios.size() % 2 == 1;
        double other = swapped ? time(second) : 0;
        long start = System.nanoTime();
        double loss = first.run();
        milliseconds = counted(first, start);
        other = swapped ? other : time(second);
        ratios.add(milliseconds / other);
        settings.put(RATIO, String.valueOf(
                PairedRatio.of(ratios.stream().mapToDouble(Double::doubleValue).toArray()).median()));
        return loss;
    }

    @Override
    public double countedMilliseconds() {
        return milliseconds;
    }

    private static double time(Step step) {
        long start = System.nanoTime();
        step.run();
        return counted(step, start);
    }

    private static double counted(Step step, long start) {
        double all = (System.nanoTime() - start) / 1e6;
        return step.countedMilliseconds() < 0 ? all : step.countedMilliseconds();
    }

    @Override
    public void close() throws Exception {
        for (Step step : List.of(first, second)) {
            if (step instanceof AutoCloseable open) {
                open.close();
            }
        }
    }
}
