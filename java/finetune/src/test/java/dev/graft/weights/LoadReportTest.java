package dev.graft.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.graft.weights.LoadReport.Shape;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class LoadReportTest {
    private static final List<Shape> MODEL = List.of(Shape.of("0.weight", 4, 3, 3, 3), Shape.of("0.bias", 4), Shape.of("1.weight", 4),
            Shape.of("1.bias", 4), Shape.of("1.running_mean", 4), Shape.of("1.running_var", 4), Shape.of("3.weight", 2, 16), Shape.of("3.bias", 2));

    @TempDir
    Path folder;

    private static LoadReport against(List<Shape> model) {
        try (WeightFile file = WeightFile.open(TestFiles.golden("checkpoint_old.pth"))) {
            return LoadReport.compare(file, model);
        }
    }

    private static List<Shape> modelWith(int index, Shape shape) {
        List<Shape> model = new ArrayList<>(MODEL);
        model.set(index, shape);
        return model;
    }

    @Test
    void aFileThatFitsMatchesInTheModelsOrder() {
        LoadReport report = against(MODEL);
        assertEquals(MODEL.stream().map(Shape::name).toList(), report.matched());
        assertTrue(report.exact());
        assertEquals(List.of("1.num_batches_tracked"), report.counters());
        assertEquals("module.", report.strippedPrefix());
        assertEquals("state_dict", report.stateKey());
        assertTrue(report.others().contains("epoch = 3"));
        report.requireStrict(List.of());
    }

    @Test
    void onlyTheDeclaredHeadMayDiffer() {
        LoadReport report = against(modelWith(6, Shape.of("3.weight", 5, 16)));
        report.requireStrict(List.of("3.weight"));
        report.requireStrict(List.of("3"));
        assertEquals(List.of("3.weight"), report.notLoaded());
        assertFalse(report.exact());
        for (List<String> head : List.of(List.<String>of(), List.of("3.bias"), List.of("3.w"))) {
            String message = assertThrows(WeightsException.class, () -> report.requireStrict(head)).getMessage();
            assertTrue(message.contains("1 of other sizes: \"3.weight\": the model has [5, 16], the file [2, 16]"), message);
            assertTrue(message.startsWith(report.source() + ": "), message);
        }
    }

    @Test
    void aMissingNameIsShownWithTheNearestInTheFile() {
        LoadReport report = against(modelWith(4, Shape.of("1.runing_mean", 4)));
        assertEquals(List.of("1.runing_mean"), report.missing().stream().map(Shape::name).toList());
        assertEquals(List.of("1.running_mean"), report.unexpected().stream().map(Shape::name).toList());
        String message = assertThrows(WeightsException.class, () -> report.requireStrict(List.of("3"))).getMessage();
        assertTrue(message.contains("1 missing: \"1.runing_mean\" (the file has \"1.running_mean\")"), message);
        assertTrue(message.contains("1 unexpected: \"1.running_mean\""), message);
    }

    @Test
    void anUnknownPrefixIsShown() {
        Path path = folder.resolve("prefixed.safetensors");
        SafetensorsWriter.write(path, Map.of(), List.of(TensorSource.of("backbone.conv1.weight", new float[1], 1),
                TensorSource.of("backbone.conv2.weight", new float[1], 1)));
        try (WeightFile file = WeightFile.open(path)) {
            LoadReport report = LoadReport.compare(file, List.of(Shape.of("conv2.weight", 1)));
            String message = assertThrows(WeightsException.class, () -> report.requireStrict(List.of())).getMessage();
            assertTrue(message.contains("\"conv2.weight\" (the file has \"backbone.conv2.weight\")"), message);
        }
    }

    @Test
    void aHeadOfTheFileThatTheModelHasNotIsIgnoredIfDeclared() {
        LoadReport report = against(MODEL.subList(0, 6));
        report.requireStrict(List.of("3"));
        assertThrows(WeightsException.class, () -> report.requireStrict(List.of()));
        assertEquals(List.of(), report.notLoaded());
    }

    @Test
    void integersAreNoWeights() {
        List<Shape> model = new ArrayList<>(MODEL);
        model.add(Shape.of("1.num_batches_tracked"));
        String message = assertThrows(WeightsException.class, () -> against(model).requireStrict(List.of())).getMessage();
        assertTrue(message.contains("the file [] of I64"), message);
    }

    @Test
    void messagesStayShortHoweverMuchDiffers() {
        List<Shape> foreign = IntStream.range(0, 1000).mapToObj(i -> Shape.of("layer" + i + ".weight", 4)).toList();
        String message = assertThrows(WeightsException.class, () -> against(foreign).requireStrict(List.of())).getMessage();
        assertTrue(message.contains("1000 missing") && message.contains("and 997 more") && message.contains("8 unexpected"), message);
        assertTrue(message.length() < 600 && !message.contains("\n"), message);
        assertTrue(against(foreign).toString().lines().count() < 70, "the table is cut");
    }

    @Test
    void theTableAndTheJsonNameEveryDifference() throws Exception {
        LoadReport report = against(modelWith(6, Shape.of("3.weight", 5, 16)));
        String table = report.toString();
        for (String words : List.of("matched     7", "mismatched  1", "\"3.weight\": the model has [5, 16], the file [2, 16]", "counters    1",
                "prefix module. stripped", "epoch = 3")) {
            assertTrue(table.contains(words), table);
        }
        JsonNode json = new ObjectMapper().valueToTree(report);
        assertEquals("3.weight", json.get("mismatched").get(0).get("name").textValue());
        assertEquals(5, json.get("mismatched").get(0).get("expected").get(0).intValue());
        assertEquals(7, json.get("matched").size());
    }

    @Test
    void bothWrappersPrefixesAreStripped() {
        Path path = folder.resolve("wrapped.safetensors");
        SafetensorsWriter.write(path, Map.of(), List.of(TensorSource.of("module._orig_mod.module.a", new float[1], 1),
                TensorSource.of("module._orig_mod.module.b", new float[1], 1)));
        try (WeightFile file = WeightFile.open(path)) {
            assertEquals("module._orig_mod.module.", file.strippedPrefix());
            LoadReport.compare(file, List.of(Shape.of("a", 1), Shape.of("b", 1))).requireStrict(List.of());
        }
        SafetensorsWriter.write(path, Map.of(), List.of(TensorSource.of("module.a", new float[1], 1), TensorSource.of("b", new float[1], 1)));
        try (WeightFile file = WeightFile.open(path)) {
            assertEquals("", file.strippedPrefix(), "not all names have it");
            assertTrue(file.contains("module.a"));
        }
    }
}
