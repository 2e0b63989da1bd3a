package dev.graft.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What PEFT saved is read as PEFT means it, what is written is read back the same, and everything else is refused by name. */
class PeftFolderTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String PREFIX = "base_model.model.";

    @TempDir
    Path folder;

    private static Path golden(String name) {
        try {
            return Path.of(PeftFolderTest.class.getResource("/golden/peft/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** An adapter of rank 2 of a layer [3, 4], to be damaged. */
    private static Map<String, TensorSource> tensors() {
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        add(tensors, "fc.lora_A.weight", 2, 4);
        add(tensors, "fc.lora_B.weight", 3, 2);
        return tensors;
    }

    private static void add(Map<String, TensorSource> tensors, String name, long... dims) {
        float[] values = new float[(int) StoredTensor.product(dims)];
        for (int i = 0; i < values.length; i++) {
            values[i] = i - 2.5f;
        }
        tensors.put(name, TensorSource.of(PREFIX + name, values, dims));
    }

    private static String settings(String more) {
        return "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 3, \"target_modules\": [\"fc\"]" + (more.isEmpty() ? "" : ", " + more) + "}";
    }

    private Path made(String settings, Map<String, TensorSource> tensors) {
        try {
            Path made = Files.createTempDirectory(folder, "adapter");
            Files.writeString(made.resolve(PeftFolder.CONFIG), settings);
            SafetensorsWriter.write(made.resolve(PeftFolder.WEIGHTS), Map.of(), tensors.values());
            return made;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void assertRefused(Path adapter, String... words) {
        WeightsException refusal = assertThrows(WeightsException.class, () -> PeftFolder.open(adapter).close());
        String message = refusal.getMessage();
        assertTrue(message.startsWith(adapter.toString()), message);
        assertFalse(message.contains("\n"), message);
        assertTrue(message.length() < 1000, message);
        for (String word : words) {
            assertTrue(message.contains(word), "expected <" + word + "> in: " + message);
        }
    }

    @Test
    void peftsFolderIsReadAsPeftMeansIt() {
        try (PeftFolder peft = PeftFolder.open(golden("from_peft"))) {
            assertEquals(7, peft.layers().size());
            PeftFolder.Layer patches = peft.layers().stream().filter(PeftFolder.Layer::convolution).findFirst().orElseThrow();
            assertEquals("patch_embed.proj", patches.module());
            assertEquals(2, patches.rank());
            assertEquals(1.5, patches.factor());
            assertArrayEquals(new long[] {2, 3, 4, 4}, patches.a().dims());
            PeftFolder.Layer qkv = peft.layers().stream().filter(l -> l.module().equals("blocks.3.attn.qkv")).findFirst().orElseThrow();
            assertEquals(4, qkv.rank());
            assertEquals(0.5, qkv.factor());
            assertEquals(List.of("head.bias", "head.weight"), peft.saved().stream().map(StoredTensor::name).sorted().toList());
            assertEquals(List.of(), peft.config().ignored());
            assertTrue(peft.toString().endsWith("from_peft: LoRA, 7 modules, rank 2/4, 2 parameters saved whole"), peft.toString());
        }
    }

    @Test
    void pickledTensorsAreReadWithoutRunningThem() {
        try (PeftFolder peft = PeftFolder.open(golden("pickled"))) {
            assertEquals(List.of("fc"), peft.layers().stream().map(PeftFolder.Layer::module).toList());
            assertArrayEquals(new float[] {1, 2, 3}, peft.file().read(peft.layers().get(0).a()));
            assertArrayEquals(new float[] {1, 2}, peft.file().read(peft.layers().get(0).b()));
        }
    }

    @Test
    void whatIsWrittenIsReadBack() throws IOException {
        Map<String, PeftConfig.Strength> strengths = new LinkedHashMap<>();
        strengths.put("a.b", new PeftConfig.Strength(4, 8));
        strengths.put("b", new PeftConfig.Strength(2, 3.5));
        strengths.put("conv", new PeftConfig.Strength(4, 8));
        PeftConfig config = PeftConfig.of(strengths, List.of("a.b", "conv"), true, 0.1, List.of("head"), "vit_cifar");
        List<PeftFolder.Pair> pairs = strengths.entrySet().stream().map(e -> {
            int rank = e.getValue().rank();
            boolean conv = e.getKey().equals("conv");
            return new PeftFolder.Pair(e.getKey(), conv ? TensorSource.of("", new float[rank * 9], rank, 1, 3, 3) : TensorSource.of("", new float[rank * 5], rank, 5),
                    conv ? TensorSource.of("", new float[3 * rank], 3, rank, 1, 1) : TensorSource.of("", new float[3 * rank], 3, rank));
        }).toList();
        Path to = folder.resolve("new/adapter");
        PeftFolder.write(to, false, config, pairs, List.of(TensorSource.of("head.bias", new float[] {1, 2}, 2)), Map.of("graft.model", "vit_cifar"));
        try (PeftFolder peft = PeftFolder.open(to)) {
            assertEquals(config, peft.config());
            assertEquals(8 / Math.sqrt(4), peft.config().factor("a.b"));
            assertEquals(3.5 / Math.sqrt(2), peft.config().factor("b"), "the pattern of b is for b alone");
            assertEquals(List.of("a.b", "b", "conv"), peft.layers().stream().map(PeftFolder.Layer::module).sorted().toList());
            assertArrayEquals(new float[] {1, 2}, peft.file().read(peft.saved().get(0)));
            assertEquals("vit_cifar", peft.file().metadata().get("graft.model"));
            assertEquals("pt", peft.file().metadata().get("format"));
        }
        assertThrows(IllegalArgumentException.class, () -> PeftFolder.write(to, false, config, pairs, List.of(), Map.of()), "not empty");
        try (var left = Files.list(to.getParent())) {
            assertEquals(List.of(to), left.toList());
        }
    }

    @Test
    void namesThatAreEndsOfOthersAreWrittenAsAPattern() {
        PeftConfig config = PeftConfig.of(Map.of("conv1", new PeftConfig.Strength(1, 1)), List.of("conv1", "layer1.0.conv1"), false, 0, List.of(), null);
        assertEquals("^conv1", config.toJson().get("target_modules").textValue());
        assertTrue(config.targets("conv1"));
        assertFalse(config.targets("layer1.0.conv1"));
        assertEquals(config, PeftConfig.of(config.toJson(), "here"));
    }

    @Test
    void partsThatDoNotAgreeAreNotWritten() {
        PeftConfig config = PeftConfig.of(Map.of("fc", new PeftConfig.Strength(2, 2)), List.of(), false, 0, List.of(), null);
        PeftFolder.Pair other = new PeftFolder.Pair("fc", TensorSource.of("", new float[4], 1, 4), TensorSource.of("", new float[3], 3, 1));
        assertThrows(IllegalArgumentException.class, () -> PeftFolder.write(folder.resolve("x"), false, config, List.of(other), List.of(), Map.of()));
        assertThrows(IllegalArgumentException.class, () -> PeftFolder.write(folder.resolve("x"), false, config, List.of(),
                List.of(TensorSource.of("head.bias", new float[1], 1)), Map.of()));
        assertThrows(IllegalArgumentException.class, () -> PeftConfig.of(Map.of(), List.of(), false, 0, List.of(), null));
        assertFalse(Files.exists(folder.resolve("x")));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
            "\"use_dora\": true                             | use_dora",
            "\"lora_bias\": true                            | lora_bias",
            "\"bias\": \"all\"                              | bias",
            "\"target_parameters\": [\"experts\"]           | target_parameters",
            "\"trainable_token_indices\": [1]               | trainable_token_indices",
            "\"init_lora_weights\": \"pissa_niter_4\"       | pissa_niter_4",
            "\"use_rslora\": \"yes\"                        | use_rslora",
            "\"lora_dropout\": 1                            | lora_dropout",
            "\"lora_dropout\": 1e999                        | lora_dropout",
            "\"rank_pattern\": {\"fc\": 0}                  | rank is 0",
            "\"rank_pattern\": {\"(\": 2}                   | regular expression",
            "\"rank_pattern\": {\"fc\": 2.5}                | rank_pattern",
            "\"rank_pattern\": {\"fc\": 3}                  | fc.lora_A.weight",
            "\"alpha_pattern\": {\"fc\": \"many\"}          | alpha_pattern",
            "\"modules_to_save\": \"head\"                  | modules_to_save",
            "\"bias\": \"none\", \"bias\": \"none\"         | Duplicate"})
    void settingsThatCannotBeComputedAreRefusedByName(String more, String word) {
        assertRefused(made(settings(more), tensors()), word);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
            "[]                                                        | expected a JSON object",
            "{}                                                        | peft_type",
            "{\"peft_type\": \"IA3\"}                                  | LORA",
            "{\"peft_type\": \"LORA\", \"lora_alpha\": 1}              | r is not there",
            "{\"peft_type\": \"LORA\", \"r\": 0, \"lora_alpha\": 1}    | rank is 0",
            "{\"peft_type\": \"LORA\", \"r\": 99999999999, \"lora_alpha\": 1} | r is 99999999999",
            "{\"peft_type\": \"LORA\", \"r\": 2}                       | lora_alpha",
            "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": \"x\\ny\"} | lora_alpha",
            "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": NaN} | NaN",
            "{\"peft_type\"                                            | not JSON"})
    void damagedSettingsAreRefused(String settings, String word) {
        assertRefused(made(settings, tensors()), word);
    }

    @Test
    void patternsThatWouldRunForeverAreRefused() {
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        String module = "a".repeat(60) + "!";
        add(tensors, module + ".lora_A.weight", 2, 4);
        add(tensors, module + ".lora_B.weight", 3, 2);
        WeightsException refusal = assertThrows(WeightsException.class,
                () -> PeftFolder.open(made(settings("\"rank_pattern\": {\"(a*)*(a*)*(a*)*b\": 2}"), tensors)).close());
        assertTrue(refusal.getMessage().contains("takes too long"), refusal.getMessage());
        String nested = "[".repeat(100_000);
        assertRefused(made("{\"r\": " + nested, tensors), "nest");
    }

    @Test
    void tensorsThatAreNoAdapterAreRefused() {
        Map<String, TensorSource> half = tensors();
        half.remove("fc.lora_B.weight");
        assertRefused(made(settings(""), half), "fc.lora_A.weight", "half of a pair");
        Map<String, TensorSource> other = tensors();
        other.remove("fc.lora_A.weight");
        assertRefused(made(settings(""), other), "fc.lora_B.weight", "half of a pair");
        Map<String, TensorSource> crossed = tensors();
        add(crossed, "fc.lora_B.weight", 3, 1);
        assertRefused(made(settings(""), crossed), "fc.lora_A.weight", "[3, 1]");
        Map<String, TensorSource> larger = tensors();
        add(larger, "fc.lora_A.weight", 4, 4);
        add(larger, "fc.lora_B.weight", 3, 4);
        assertRefused(made(settings(""), larger), "of rank 4", "rank 2");
        for (String foreign : List.of("fc.lora_magnitude_vector.weight", "fc.lora_embedding_A", "fc.lora_A.bias", "head.weight")) {
            Map<String, TensorSource> more = tensors();
            add(more, foreign, 2, 2);
            assertRefused(made(settings(""), more), foreign);
        }
        Map<String, TensorSource> unprefixed = tensors();
        unprefixed.put("fc.weight", TensorSource.of("fc.weight", new float[2], 2));
        assertRefused(made(settings(""), unprefixed), "fc.weight", PREFIX);
        assertRefused(made(settings(""), Map.of()), "no tensors");
    }

    @Test
    void foldersWithoutTheirFilesAreRefused() throws IOException {
        assertRefused(folder.resolve("absent"), "no such folder");
        assertRefused(golden("from_peft").resolve(PeftFolder.CONFIG), "a file");
        assertRefused(Files.createDirectory(folder.resolve("empty")), "has no adapter_config.json");
        Path bare = Files.createDirectory(folder.resolve("bare"));
        Files.writeString(bare.resolve(PeftFolder.CONFIG), settings(""));
        assertRefused(bare, "has no adapter_model.safetensors");
        Files.write(bare.resolve(PeftFolder.WEIGHTS), new byte[] {1, 2, 3});
        assertRefused(bare);
    }

    @Test
    void settingsThatAreUnknownAreListedAndThoseWithoutEffectAreNot() throws IOException {
        ObjectNode json = (ObjectNode) JSON.readTree(settings(""));
        json.put("runtime_config", 1).put("new_setting", 7).put("off", false).putNull("nothing").putArray("empty");
        json.put("fan_in_fan_out", true);
        try (PeftFolder peft = PeftFolder.open(made(json.toString(), tensors()))) {
            assertEquals(List.of("new_setting"), peft.config().ignored());
            assertEquals(1.5, peft.layers().get(0).factor());
        }
    }
}
