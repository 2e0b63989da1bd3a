package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What trains: rows, elements, anchors and the optimizer's state across plans. */
class TrainableTest {
    private static final int BATCH = 16;
    private static final double ROUNDING = 1e-5;

    @TempDir
    Path folder;

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void onlyLiveRowsMove(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1);
                Parameters some = Mlp.parameters(device, graph);
                Parameters all = Mlp.parameters(device, graph)) {
            Plan masked = Mlp.plan(some, graph, Mlp.sgd(BATCH, "fc1.weight").rows("fc1.weight", 1, 3)
                    .rows("fc1.weight", 5, 6).build());
            Plan plain = Mlp.plan(all, graph, Mlp.sgd(BATCH, "fc1.weight").build());
            float[] before = some.read("fc1.weight");
            masked.step();
            plain.step();
            float[] after = some.read("fc1.weight");
            float[] free = all.read("fc1.weight");
            for (int i = 0; i < before.length; i++) {
                int row = i / Mlp.IN;
                boolean live = row == 1 || row == 2 || row == 5;
                assertEquals(live ? free[i] : before[i], after[i], "row " + row);
            }
            assertNotEquals(before[Mlp.IN + 1], after[Mlp.IN + 1]);
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void onlyLiveElementsMove(String column) throws IOException {
        Graph graph = Mlp.graph();
        int count = Mlp.CLASSES * Mlp.HIDDEN;
        byte[] bits = new byte[(count + 7) / 8];
        for (int i = 0; i < count; i += 3) {
            bits[i / 8] |= (byte) (1 << (i % 8));
        }
        Path mask = Files.write(folder.resolve("live elements.bits"), bits);
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            Plan plan = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, "fc2.weight").mask("fc2.weight", mask).build());
            float[] before = parameters.read("fc2.weight");
            plan.decay(0, 0.1);
            for (int i = 0; i < 3; i++) {
                plan.step();
            }
            float[] after = parameters.read("fc2.weight");
            for (int i = 0; i < count; i++) {
                assertEquals(i % 3 == 0, before[i] != after[i], "element " + i);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void anchorsPullToTheFile(String column) throws IOException {
        GraphBuilder g = Graph.builder();
        Value w = g.parameter("w", 4);
        Value y = g.multiply("y", g.input("x", DType.F32, 0, 4), w);
        g.mse("loss", y, g.input("target", DType.F32, 0, 4));
        Graph graph = g.build();
        float[] start = {1, -2, 3, 0.5f};
        ByteBuffer bytes = ByteBuffer.allocate(8 + 16).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(2, start);
        Path file = Files.write(folder.resolve("w.bin"), bytes.array());
        float[] moved = {2, -2, 2, 1.5f};
        try (Device device = Device.open(column, 1, 1); Parameters parameters = device.parameters()) {
            parameters.declare(graph, Origin.CHECKPOINT).fromFile("w", file, 8, DType.F32, List.of(4L), 0);
            assertArrayEquals(start, parameters.read("w"));
            parameters.write("w", moved);
            Plan plan = Plan.compile(graph, parameters,
                    PlanOptions.train(1, new Optimizer.Sgd(0, false)).anchor(true).train("w").build());
            plan.input("x").write(new float[4]);
            plan.input("target").write(new float[4]);
            plan.rate(0, 0.5);
            plan.anchor(0, 0.25);
            plan.step();
            double[] expected = new double[4];
            for (int i = 0; i < 4; i++) {
                expected[i] = moved[i] - 0.5 * 0.25 * (moved[i] - start[i]);
            }
            TrainingTest.assertClose("w", expected, parameters.read("w"), ROUNDING);
        }
    }

    @Test
    void filesOfAnotherLayoutAndTypeAreConverted() throws IOException {
        // OIHW [2, 3, 1, 2] in bf16, the upper half of F32; small whole numbers are exact.
        ByteBuffer bytes = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < 12; i++) {
            bytes.putShort((short) (Float.floatToIntBits(i) >>> 16));
        }
        Path file = Files.write(folder.resolve("filter.bin"), bytes.array());
        try (Device device = Device.open("reference", 1, 1); Parameters parameters = device.parameters()) {
            parameters.declare("filter", List.of(2L, 1L, 2L, 3L), false, Origin.CHECKPOINT);
            parameters.fromFile("filter", file, 0, DType.BF16, List.of(2L, 3L, 1L, 2L), 0, 2, 3, 1);
            assertArrayEquals(new float[] {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}, parameters.read("filter"));
            assertThrows(IllegalArgumentException.class,
                    () -> parameters.fromFile("filter", file, 2, DType.BF16, List.of(2L, 3L, 1L, 2L), 0, 2, 3, 1));
            assertThrows(IllegalArgumentException.class,
                    () -> parameters.fromFile("filter", file, 0, DType.BF16, List.of(2L, 3L, 1L, 2L), 0, 1, 2, 3));
            assertThrows(UnavailableException.class, () -> parameters.fromFile("filter", folder.resolve("absent.bin"), 0,
                    DType.BF16, List.of(2L, 3L, 1L, 2L), 0, 2, 3, 1));
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void momentsSurviveARecompile(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1);
                Parameters straight = Mlp.parameters(device, graph);
                Parameters broken = Mlp.parameters(device, graph)) {
            PlanOptions options = PlanOptions.train(BATCH, new Optimizer.AdamW()).train(Mlp.ALL).build();
            try (Plan plan = Mlp.plan(straight, graph, options)) {
                run(plan, 6);
            }
            float[] moment;
            try (Plan plan = Mlp.plan(broken, graph, options)) {
                run(plan, 3);
                moment = broken.readMoment("fc1.weight", 1);
            }
            PlanOptions other = PlanOptions.train(BATCH, new Optimizer.AdamW()).train(Mlp.ALL).keep("relu").build();
            try (Plan plan = Mlp.plan(broken, graph, other)) {
                assertArrayEquals(moment, broken.readMoment("fc1.weight", 1));
                run(plan, 3);
            }
            for (String name : Mlp.ALL) {
                assertArrayEquals(straight.read(name), broken.read(name), name);
                assertArrayEquals(straight.readMoment(name, 0), broken.readMoment(name, 0), name);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void unfreezingKeepsTheMomentsOfWhatStays(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            Plan head = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, "fc2.weight").build());
            run(head, 3);
            float[] moment = parameters.readMoment("fc2.weight", 0);
            Plan all = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, "fc1.weight", "fc2.weight").build());
            assertArrayEquals(moment, parameters.readMoment("fc2.weight", 0));
            assertArrayEquals(new float[Mlp.HIDDEN * Mlp.IN], parameters.readMoment("fc1.weight", 0));
            run(all, 1);
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, head::step);
            assertTrue(e.getMessage().contains("compile"), e.getMessage());
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void momentsWrittenAreMomentsRead(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            assertThrows(IllegalArgumentException.class, () -> parameters.readMoment("fc2.bias", 0));
            Mlp.plan(parameters, graph, Mlp.sgd(BATCH, "fc2.bias").build());
            parameters.writeMoment("fc2.bias", 0, new float[] {1, 2, 3});
            assertArrayEquals(new float[] {1, 2, 3}, parameters.readMoment("fc2.bias", 0));
            assertThrows(IllegalArgumentException.class, () -> parameters.readMoment("fc2.bias", 1));
        }
    }

    private static void run(Plan plan, int steps) {
        for (int i = 0; i < steps; i++) {
            plan.rate(0, 0.01);
            plan.step();
        }
    }
}
