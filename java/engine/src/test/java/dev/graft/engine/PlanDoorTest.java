package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.binding.global.Graft;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.function.Consumer;
import org.bytedeco.javacpp.FloatPointer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What goes in and out of a plan: arrays, buffers, addresses, names, and what is said when they do not fit. */
class PlanDoorTest {
    private static final int BATCH = 4;

    private Device device;
    private Parameters parameters;
    private Plan plan;

    @BeforeEach
    void open() {
        device = Device.open("reference", 1, 1);
        parameters = Mlp.parameters(device, Mlp.graph());
        plan = Mlp.plan(parameters, Mlp.graph(),
                Mlp.sgd(BATCH, Mlp.ALL).keep("relu").clip(true).watch(true).build());
    }

    @AfterEach
    void close() {
        device.close();
    }

    @Test
    void everyWayInIsTheSame() {
        float[] x = Mlp.x(BATCH);
        float[] expected = logitsAfter(input -> input.write(x));
        FloatBuffer direct = ByteBuffer.allocateDirect(4 * (x.length + 3)).order(ByteOrder.nativeOrder()).asFloatBuffer();
        direct.put(2, x).position(2).limit(2 + x.length);
        assertArrayEquals(expected, logitsAfter(input -> input.write(direct)));
        assertEquals(2, direct.position());
        ByteBuffer bytes = ByteBuffer.allocateDirect(4 * x.length + 8).order(ByteOrder.nativeOrder());
        bytes.position(8);
        bytes.slice().order(ByteOrder.nativeOrder()).asFloatBuffer().put(x);
        assertArrayEquals(expected, logitsAfter(input -> input.write(bytes)));
        try (FloatPointer owned = new FloatPointer(x)) {
            assertArrayEquals(expected, logitsAfter(input -> input.write(owned.address(), 4L * x.length)));
        }
    }

    @Test
    void aStepIsOneNativeCall() {
        FloatBuffer pixels = direct(Mlp.x(BATCH));
        int[] labels = new int[BATCH];
        long[] ids = new long[BATCH];
        for (int step = 0; step < 3; step++) {
            labels[0] = step % Mlp.CLASSES;
            plan.input("x").writeAhead(pixels);
            plan.input("label").writeAhead(labels);
            long before = Graft.graft_calls();
            plan.rate(0, 0.1 / (step + 1));
            plan.step();
            assertTrue(Double.isFinite(plan.loss() + plan.correct() + plan.updateNorms()[0]));
            plan.rows(BATCH - 1, null, ids);
            plan.input("x").writeAhead(pixels);
            plan.input("label").writeAhead(labels);
            assertEquals(1, Graft.graft_calls() - before);
        }
    }

    @Test
    void whatIsWrittenAheadIsTheInputOfTheRunAfter() {
        float[] x = Mlp.x(BATCH);
        float[] expected = logitsAfter(input -> input.write(x));
        float[] ofZeros = logitsAfter(input -> { });
        FloatBuffer direct = ByteBuffer.allocateDirect(4 * (x.length + 3)).order(ByteOrder.nativeOrder()).asFloatBuffer();
        direct.put(2, x).position(2).limit(2 + x.length);
        plan.input("x").writeAhead(direct);
        plan.forward();
        assertArrayEquals(ofZeros, plan.read("logits"));
        plan.forward();
        assertArrayEquals(expected, plan.read("logits"));
        plan.forward();
        assertArrayEquals(expected, plan.read("logits"), "taken once more");
    }

    @Test
    void whatARunReadIsStillThereWhereItsLossIsNotFinite() {
        float[] bad = Mlp.x(BATCH);
        bad[3] = Float.NaN;
        plan.input("x").write(bad);
        plan.input("x").writeAhead(direct(Mlp.x(BATCH)));
        plan.step();
        assertTrue(Double.isNaN(plan.loss()));
        assertEquals("x", plan.findNonFinite());
    }

    private static FloatBuffer direct(float[] values) {
        return ByteBuffer.allocateDirect(4 * values.length).order(ByteOrder.nativeOrder()).asFloatBuffer().put(0, values);
    }

    @Test
    void numbersOfTheStepThatCannotBeAreNamed() {
        assertMessage("rate of 1: the plan has 1", () -> plan.rate(1, 0.1));
        assertMessage("loss_weight of -1: the plan has 1", () -> plan.lossWeight(-1, 1));
        assertMessage("rate is NaN; expected a finite number", () -> plan.rate(0, Double.NaN));
        assertMessage("visit must not be negative, got -1", () -> plan.visit(-1));
        assertThrows(IllegalArgumentException.class, () -> plan.updates(-1));
        assertThrows(IllegalArgumentException.class, () -> plan.seed(-1));
    }

    private float[] logitsAfter(Consumer<PlanInput> write) {
        plan.input("x").write(new float[BATCH * Mlp.IN]);
        write.accept(plan.input("x"));
        plan.forward();
        return plan.read("logits");
    }

    @Test
    void everyWayOutIsTheSame() {
        plan.forward();
        PlanOutput logits = plan.output("logits");
        assertSame(logits, plan.output("logits"));
        assertEquals(BATCH * Mlp.CLASSES, logits.count());
        float[] expected = logits.read();
        FloatBuffer direct = ByteBuffer.allocateDirect(4 * (expected.length + 1)).order(ByteOrder.nativeOrder()).asFloatBuffer();
        direct.position(1);
        logits.read(direct);
        float[] read = new float[expected.length];
        direct.get(read);
        assertArrayEquals(expected, read);
        try (FloatPointer owned = new FloatPointer(expected.length)) {
            logits.read(owned.address(), 4L * expected.length);
            owned.get(read);
            assertArrayEquals(expected, read);
        }
    }

    @Test
    void keptNodesAndTheirGradientsAreReadable() {
        plan.gradients();
        assertEquals(BATCH * Mlp.HIDDEN, plan.read("relu").length);
        assertEquals(BATCH * Mlp.HIDDEN, plan.gradient("relu").length);
        assertThrows(IllegalArgumentException.class, () -> plan.read("fc1"));
    }

    @Test
    void inputsThatDoNotFitAreNamed() {
        PlanInput x = plan.input("x");
        assertMessage("input x takes 20 elements, 19 came", () -> x.write(new float[19]));
        assertMessage("input x is F32, I32 came", () -> x.write(new int[20]));
        assertMessage("x: buffer must be direct", () -> x.write(FloatBuffer.allocate(20)));
        assertMessage("input x takes 80 bytes, 81 came", () -> x.write(ByteBuffer.allocateDirect(81)));
        FloatBuffer swapped = ByteBuffer.allocateDirect(80).order(ByteOrder.BIG_ENDIAN).asFloatBuffer();
        assertTrue(assertThrows(IllegalArgumentException.class, () -> x.write(swapped)).getMessage().contains("byte order"));
        assertThrows(IllegalArgumentException.class, () -> x.write(0L, 80));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> plan.input("y")).getMessage().contains("named y"));
        assertThrows(IllegalArgumentException.class, () -> plan.rows(5));
        assertThrows(IllegalArgumentException.class, () -> plan.rows(4, new float[3], null));
        assertThrows(IllegalArgumentException.class, () -> plan.loss(1));
    }

    private static void assertMessage(String message, Runnable call) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, call::run).getMessage());
    }

    @Test
    void parametersThatDoNotFitAreNamed() {
        assertMessage("fc2.bias has 3 elements [3], 4 came", () -> parameters.write("fc2.bias", new float[4]));
        assertMessage("no parameter named fc9 is declared", () -> parameters.read("fc9"));
    }

    @Test
    void shapesThatDoNotFitNameTheNode() {
        GraphBuilder g = Graph.builder();
        g.linear("odd", g.input("x", DType.F32, 0, 4), g.parameter("w", 3, 5), null);
        Parameters empty = device.parameters().declare(g.build(), Origin.HEAD);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                () -> Plan.compile(g.build(), empty, PlanOptions.eval(1).build()));
        assertTrue(e.getMessage().contains("odd"), e.getMessage());
    }

    @Test
    void plansAboveTheLimitAreRefused() {
        OutOfDeviceMemoryException e = assertThrows(OutOfDeviceMemoryException.class,
                () -> Plan.compile(Mlp.graph(), parameters, Mlp.sgd(1 << 16, Mlp.ALL).limit(1 << 20).build()));
        assertTrue(e.getMessage().contains("MiB"), e.getMessage());
    }

    @Test
    void descriptionsAreJson() {
        for (String text : new String[] {device.describe(), parameters.describe(), plan.describe(), plan.memory(), plan.profile()}) {
            assertTrue(text.startsWith("{") || text.startsWith("["), text);
        }
        assertTrue(plan.describe().contains("fc1"), plan.describe());
    }

    @Test
    void theFirstNonFiniteValueIsNamed() {
        assertEquals("", plan.findNonFinite());
        float[] x = Mlp.x(BATCH);
        x[3] = Float.NaN;
        plan.input("x").write(x);
        assertEquals("x", plan.findNonFinite());
    }

    @Test
    void theOriginIsStillNamedAfterAStepWithANonFiniteLoss() {
        float[] weight = parameters.read("fc1.weight");
        parameters.write("fc2.bias", new float[] {0, Float.NaN, 0});
        plan.step();
        assertTrue(Double.isNaN(plan.loss()), "loss " + plan.loss());
        assertArrayEquals(weight, parameters.read("fc1.weight"));
        assertEquals("fc2.bias", plan.findNonFinite());
    }

    @Test
    void updatesAreMeasured() {
        plan.clip(1e9);
        plan.step();
        double[] norms = plan.updateNorms();
        assertEquals(8, norms.length);
        double squares = 0;
        for (int i = 0; i < 8; i += 2) {
            squares += norms[i] * norms[i];
        }
        // Plain SGD's first update is rate times gradient: 0.1 times the norm that clipping read.
        assertEquals(0.1 * plan.gradientNorm(), Math.sqrt(squares), 1e-5 * plan.gradientNorm());
    }

    @Test
    void plansOfOneWorkspaceDoNotDisturbTheWeights() {
        try (PlanCache cache = new PlanCache(parameters)) {
            Plan small = cache.plan(Mlp.predictor(), PlanOptions.eval(2).build());
            Plan large = cache.plan(Mlp.predictor(), PlanOptions.eval(BATCH).build());
            assertSame(small, cache.plan(Mlp.predictor(), PlanOptions.eval(2).build()));
            assertEquals(2, cache.size());
            plan.forward();
            large.input("x").write(Mlp.x(BATCH));
            large.forward();
            assertArrayEquals(plan.read("logits"), large.read("logits"));
            small.input("x").write(Mlp.x(2));
            small.forward();
            assertArrayEquals(java.util.Arrays.copyOf(plan.read("logits"), 2 * Mlp.CLASSES), small.read("logits"));
            cache.clear();
            assertThrows(IllegalStateException.class, small::forward);
        }
        assertFalse(plan.read("logits").length == 0);
    }
}
