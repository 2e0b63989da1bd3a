package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ThreadsTest {
    private static final int BATCH = 4;
    private static final int THREADS = 8;

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void manyThreadsPredictWhileAnotherTrains(int lanes) throws Exception {
        Graph graph = Mlp.graph();
        ExecutorService pool = Executors.newFixedThreadPool(THREADS + 1);
        try (Device device = Device.open("cpu", 1, lanes);
                Parameters stable = Mlp.parameters(device, graph);
                Parameters trained = Mlp.parameters(device, graph)) {
            Plan predictor = Plan.compile(Mlp.predictor(), stable, PlanOptions.eval(BATCH).build());
            predictor.input("x").write(Mlp.x(BATCH));
            predictor.forward();
            float[] expected = predictor.read("logits");
            Plan training = Mlp.plan(trained, graph, Mlp.sgd(BATCH, Mlp.ALL).build());
            List<Future<?>> running = new ArrayList<>();
            running.add(pool.submit(() -> {
                for (int i = 0; i < 300; i++) {
                    training.step();
                }
            }));
            for (int t = 0; t < THREADS; t++) {
                running.add(pool.submit(() -> {
                    try (Session session = predictor.session()) {
                        for (int i = 0; i < 100; i++) {
                            session.input("x").write(Mlp.x(BATCH));
                            session.forward();
                            assertArrayEquals(expected, session.read("logits"));
                        }
                    }
                }));
            }
            for (Future<?> f : running) {
                f.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    @Test
    void callsAfterCloseFromOtherThreadsAreRefused() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        try (Device device = Device.open("reference", 1, 1); Parameters parameters = Mlp.parameters(device, Mlp.graph())) {
            Plan plan = Mlp.plan(parameters, Mlp.graph(), Mlp.sgd(BATCH, Mlp.ALL).build());
            List<Future<Integer>> running = new ArrayList<>();
            for (int t = 0; t < THREADS; t++) {
                running.add(pool.submit(() -> {
                    int steps = 0;
                    for (;;) {
                        try {
                            plan.step();
                            steps++;
                        } catch (IllegalStateException e) {
                            if (e.getMessage().endsWith("is closed")) {
                                return steps;
                            }
                        }
                    }
                }));
            }
            Thread.sleep(50);
            for (boolean closed = false; !closed; ) {
                try {
                    plan.close();
                    closed = true;
                } catch (IllegalStateException busy) {
                    Thread.onSpinWait();
                }
            }
            int steps = 0;
            for (Future<Integer> f : running) {
                steps += f.get();
            }
            assertTrue(steps > 0, "no thread got a turn");
        } finally {
            pool.shutdownNow();
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void aStepAllocatesNothing(String column) {
        com.sun.management.ThreadMXBean threads =
                (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        float[] x = Mlp.x(BATCH);
        int[] labels = Mlp.labels(BATCH);
        float[] weights = new float[BATCH];
        Arrays.fill(weights, 1);
        long[] ids = new long[BATCH];
        float[] logits = new float[BATCH * Mlp.CLASSES];
        try (Device device = Device.open(column, 1, 1); Parameters parameters = Mlp.parameters(device, Mlp.graph())) {
            Plan plan = Mlp.plan(parameters, Mlp.graph(), Mlp.sgd(BATCH, Mlp.ALL).build());
            long id = Thread.currentThread().getId();
            double sum = 0;
            long least = Long.MAX_VALUE;
            // The JVM itself allocates a little now and then (linking, compiling): a step that did would in every round.
            for (int round = 0; round < 5; round++) {
                long before = threads.getThreadAllocatedBytes(id);
                for (int i = 0; i < 1000; i++) {
                    plan.input("x").write(x);
                    plan.input("label").write(labels);
                    plan.rows(BATCH, weights, ids);
                    plan.rate(0, 1e-3);
                    plan.visit(i);
                    plan.step();
                    plan.output("logits").read(logits);
                    sum += plan.loss() + plan.correct() + plan.gradientNorm();
                }
                least = Math.min(least, threads.getThreadAllocatedBytes(id) - before);
            }
            assertEquals(0, least, "bytes in 1000 steps; sum of losses " + sum);
        }
    }
}
