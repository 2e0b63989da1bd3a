package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class CardTest {
    private static final Card MODEL = Card.imageNet("default of the model");
    private static final Card OTHER = new Card(0, 32, new float[] {.1f, .2f, .3f}, new float[] {.00392157f, 1, 2}, Interpolation.BICUBIC,
            ChannelOrder.BGR, "somewhere");

    @TempDir
    Path folder;

    private WeightFile weights(String name, Map<String, String> metadata) {
        Path path = folder.resolve(name);
        SafetensorsWriter.write(path, metadata, List.of(TensorSource.of("a", new float[1], 1)));
        return WeightFile.open(path);
    }

    private static CardKeys crop(int pixels) {
        return new CardKeys(null, pixels, null, null, null, null);
    }

    @Test
    void jsonComesBackAsTheSameCard() {
        assertEquals(OTHER, CardKeys.parse(OTHER.toJson(), "here").card("somewhere"));
        assertEquals(MODEL, CardKeys.parse(MODEL.toJson(), "here").card("default of the model"));
        assertTrue(MODEL.toJson().contains("\"mean\":[0.485,0.456,0.406]"), MODEL.toJson());
    }

    @Test
    void wrongKeysAndValuesAreNamed() {
        Map<String, String> wrong = Map.of("{\"resise\":1}", "\"resise\"", "{\"crop\":2.5}", "crop is \"2.5\"", "{\"mean\":[1,2]}", "mean is",
                "{\"std\":[1,2,\"x\"]}", "std is", "{\"interpolation\":\"nearest\"}", "bilinear or bicubic", "{\"channels\":3}", "rgb or bgr",
                "[]", "JSON object", "{", "not JSON", "{\"crop\":1,\"crop\":2}", "not JSON", "", "JSON object");
        wrong.forEach((json, words) -> {
            String message = assertThrows(WeightsException.class, () -> CardKeys.parse(json, "card.json"), json).getMessage();
            assertTrue(message.startsWith("card.json: ") && message.contains(words) && !message.contains("\n"), message);
        });
        for (String json : List.of("{\"crop\":0}", "{\"crop\":300}", "{\"crop\":99999,\"resize\":0}", "{\"resize\":-1}", "{\"std\":[1,1,0]}")) {
            CardKeys keys = CardKeys.parse(json, "card.json");
            assertThrows(IllegalArgumentException.class, () -> MODEL.with(keys, "card.json"), json);
        }
        String incomplete = assertThrows(WeightsException.class, () -> crop(3).card("x.json")).getMessage();
        assertTrue(incomplete.contains("resize, mean, std, interpolation, channels"), incomplete);
    }

    @Test
    void precedenceIsOptionsFileMetadataKnownDefault() throws IOException {
        Path preprocess = Files.writeString(folder.resolve("card.json"), "{\"resize\":400,\"crop\":320}");
        try (WeightFile plain = weights("plain.safetensors", Map.of());
             WeightFile known = weights("resnet50-11ad3fa6.safetensors", Map.of());
             WeightFile stored = weights("resnet18-f37072fd.safetensors", Map.of(Card.METADATA_KEY, OTHER.toJson()))) {
            assertEquals(MODEL, CardChoice.of(CardKeys.NONE, null, null, MODEL));
            assertEquals(MODEL, CardChoice.of(CardKeys.NONE, null, plain, MODEL));
            Card table = CardChoice.of(CardKeys.NONE, null, known, MODEL);
            assertEquals(232, table.resize());
            assertEquals("known file resnet50-11ad3fa6.pth (hash in the file name)", table.origin());
            Card metadata = CardChoice.of(CardKeys.NONE, null, stored, MODEL);
            assertArrayEquals(OTHER.mean(), metadata.mean());
            assertTrue(metadata.origin().endsWith("metadata graft.card"), metadata.origin());
            Card file = CardChoice.of(CardKeys.NONE, preprocess, stored, MODEL);
            assertEquals(320, file.crop());
            assertEquals(Interpolation.BICUBIC, file.interpolation());
            Card options = CardChoice.of(crop(300), preprocess, stored, MODEL);
            assertEquals(300, options.crop());
            assertEquals(400, options.resize());
            assertEquals("options (crop), else " + preprocess + " (resize, crop), else " + metadata.origin(), options.origin());
        }
    }

    @Test
    void optionsThatDoNotGoTogetherAreRefused() {
        String message = assertThrows(IllegalArgumentException.class, () -> CardChoice.of(crop(300), null, null, MODEL)).getMessage();
        assertEquals("preprocessing options: resize is 256, expected 0 (none) or 300 (the crop) to 16384 pixels", message);
    }

    @Test
    void damagedMetadataAreRefusedNotSkipped() {
        try (WeightFile file = weights("x.safetensors", Map.of(Card.METADATA_KEY, "{\"crop\":\"big\"}"))) {
            String message = assertThrows(WeightsException.class, () -> CardChoice.of(CardKeys.NONE, null, file, MODEL)).getMessage();
            assertTrue(message.startsWith(file.path() + ", metadata graft.card: crop is"), message);
        }
    }

    @Test
    void torchvisionsFilesAreKnownByTheHashInTheirName() throws IOException {
        Path named = Files.write(folder.resolve("my-resnet18-f37072fd.pth"), new byte[] {1});
        KnownFiles.KnownFile known = KnownFiles.find(named);
        assertEquals("resnet18", known.model());
        assertEquals(Card.imageNet(known.card().origin()), known.card());
        assertNull(KnownFiles.find(Files.write(folder.resolve("resnet18-00000000.pth"), new byte[] {1})));
        assertNull(KnownFiles.find(Files.write(folder.resolve("f37072fd.pth"), new byte[] {1})));
        // FIPS 180-2, the example "abc"
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                KnownFiles.sha256(Files.writeString(folder.resolve("abc"), "abc")));
    }
}
