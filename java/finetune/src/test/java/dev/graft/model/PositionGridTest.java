package dev.graft.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Device;
import dev.graft.engine.Parameters;
import dev.graft.golden.GoldenFile;
import dev.graft.golden.WeightFormula;
import dev.graft.weights.LoadReport;
import dev.graft.weights.SafetensorsWriter;
import dev.graft.weights.TensorSource;
import dev.graft.weights.WeightFile;
import dev.graft.weights.WeightsException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PositionGridTest {
    /** Of the largest value: timm computes in F32, weights included. */
    private static final double TOLERANCE = 2e-6;
    private static final int CHANNELS = 5;

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"14_24", "14_7", "14_13", "8_4", "8_12", "3_8", "2_1"})
    void anotherGridsEmbeddingIsResampledAsTimmDoes(String grids) {
        int from = Integer.parseInt(grids.substring(0, grids.indexOf('_')));
        int to = Integer.parseInt(grids.substring(grids.indexOf('_') + 1));
        double[] expected = GoldenFile.open("positions").values(grids);
        float[] actual = new PositionGrid("pos_embed", 1, to)
                .resample(WeightFormula.tensor("pos_embed", 1, 1 + (long) from * from, CHANNELS), CHANNELS);
        assertEquals(expected.length, actual.length);
        double largest = 0;
        for (double value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        for (int i = 0; i < actual.length; i++) {
            assertEquals(expected[i], actual[i], TOLERANCE * largest, grids + " [" + i + "]");
        }
    }

    @Test
    void aCheckpointOfAnotherSizeLoadsAndTheReportSaysSo() {
        Network stored = Models.named("vit_cifar").network(32, 10);
        Network network = Models.named("vit_cifar").network(48, 10);
        Path path = folder.resolve("weights.safetensors");
        write(stored, path, WeightFormula.tensor("pos_embed", 1, 65, 192), 1, 65, 192);
        try (Device device = Device.open("cpu", 1, 1); WeightFile file = WeightFile.open(path)) {
            Parameters parameters = device.parameters();
            LoadReport report = Checkpoint.load(network, file, List.of(), 0, parameters);
            assertTrue(report.exact(), report.toString());
            assertEquals(List.of("pos_embed"), report.resampled().stream().map(LoadReport.Mismatch::name).toList());
            assertTrue(report.toString().contains("\"pos_embed\": the model has [1, 145, 192], the file [1, 65, 192]"), report.toString());
            float[] expected = new PositionGrid("pos_embed", 1, 12).resample(WeightFormula.tensor("pos_embed", 1, 65, 192), 192);
            assertArrayEquals(expected, parameters.read("pos_embed"));
            assertFalse(Checkpoint.compare(stored, file).toString().contains("resampled"), "its own grid");
        }
    }

    @Test
    void anEmbeddingThatIsNoSquareIsRefused() {
        Network network = Models.named("vit_cifar").network(32, 10);
        Path path = folder.resolve("weights.safetensors");
        write(network, path, new float[64 * 192], 1, 64, 192);
        try (Device device = Device.open("cpu", 1, 1); WeightFile file = WeightFile.open(path)) {
            String message = assertThrows(WeightsException.class, () -> Checkpoint.load(network, file, List.of(), 0, device.parameters())).getMessage();
            assertTrue(message.contains("\"pos_embed\": the model has [1, 65, 192], the file [1, 64, 192]"), message);
        }
    }

    private static void write(Network network, Path path, float[] positions, long... dims) {
        SafetensorsWriter.write(path, Map.of(), network.graph().parameters().stream().map(p -> p.name().equals("pos_embed")
                ? TensorSource.of(p.name(), positions, dims)
                : TensorSource.of(p.name(), WeightFormula.tensor(p.name(), Checkpoint.torchDims(p)), Checkpoint.torchDims(p))).toList());
    }
}
