package dev.graft.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DatasetTest {
    @TempDir
    Path folder;

    private static Dataset open(Path path, double valFraction) {
        return Dataset.open(path, 0, OptionalDouble.of(valFraction), Limits.DEFAULT);
    }

    private static String refusal(Path path) {
        DataException thrown = assertThrows(DataException.class, () -> Dataset.open(path, 0));
        assertEquals(1, thrown.getMessage().lines().count());
        assertTrue(thrown.getMessage().contains(path.getFileName().toString()), thrown.getMessage());
        return thrown.getMessage();
    }

    private static Folders splits() {
        return new Folders().pictures("train/bee", 3).pictures("train/Ant", 4).pictures("val/bee", 2).pictures("val/Ant", 1);
    }

    @Test
    void splitFoldersAreTakenAsTheyAre() {
        try (Dataset data = Dataset.open(splits().write(folder), 0)) {
            assertEquals(List.of("Ant", "bee"), data.classes());
            assertEquals(List.of("train/Ant/0.bmp", "train/Ant/1.bmp", "train/Ant/2.bmp", "train/Ant/3.bmp", "train/bee/0.bmp",
                    "train/bee/1.bmp", "train/bee/2.bmp"), data.train().samples().stream().map(Sample::path).toList());
            assertEquals(List.of(7L, 8L, 9L), data.val().samples().stream().map(Sample::id).toList());
            assertEquals(List.of(0, 1, 1), data.val().samples().stream().map(Sample::label).toList());
            assertNull(data.test());
            assertEquals(List.of(), data.warnings());
            assertArrayEquals(new int[] {4, 3}, data.train().counts());
        }
    }

    @Test
    void zipAndFolderAreTheSame() {
        Path zip = splits().zip(folder.resolve("data.zip"));
        Path plain = splits().write(folder.resolve("plain"));
        try (Dataset zipped = Dataset.open(zip, 0); Dataset unpacked = Dataset.open(plain, 0)) {
            assertEquals(unpacked.train().samples(), zipped.train().samples());
            assertEquals(unpacked.val().samples(), zipped.val().samples());
            for (Sample sample : zipped.train().samples()) {
                assertArrayEquals(unpacked.train().decode(sample).rgb(), zipped.train().decode(sample).rgb());
            }
        }
    }

    @Test
    void oneTopFolderIsPassedThrough() {
        Folders files = new Folders();
        files.pictures("set/inner/train/a", 2).pictures("set/inner/train/b", 2).file("__MACOSX/set/._x", new byte[1]);
        try (Dataset data = Dataset.open(files.zip(folder.resolve("top.zip")), 0)) {
            assertEquals(List.of("a", "b"), data.classes());
            assertEquals(4, data.train().size());
            assertNull(data.val());
            assertEquals(List.of(), data.warnings());
        }
    }

    @Test
    void otherFilesBesideTheTopFolderDoNotMatter() {
        new Folders().pictures("set/a", 2).pictures("set/b", 2).file("README.txt", new byte[1]).write(folder);
        try (Dataset data = Dataset.open(folder, 0)) {
            assertEquals(List.of("a", "b"), data.classes());
            assertEquals(1, data.warnings().size());
            DataException thrown = assertThrows(DataException.class, () -> data.requireClasses(1000, "squeezenet1_1"));
            assertEquals(folder + ": has 2 classes (a, ...), squeezenet1_1 has 1000 outputs", thrown.getMessage());
            data.requireClasses(2, "squeezenet1_1");
        }
    }

    @Test
    void aClassMayBeCalledTrain() {
        new Folders().pictures("car", 4).pictures("plane", 4).pictures("train", 4).write(folder);
        try (Dataset data = Dataset.open(folder, 0)) {
            assertEquals(List.of("car", "plane", "train"), data.classes());
        }
    }

    @Test
    void flatFoldersAreSplitWithinEachClassBySeed() {
        new Folders().pictures("a", 100).pictures("b", 20).pictures("c", 3).pictures("d", 2).pictures("e", 1).write(folder);
        try (Dataset data = Dataset.open(folder, 0); Dataset again = Dataset.open(folder, 0);
                Dataset other = Dataset.open(folder, 1)) {
            assertArrayEquals(new int[] {70, 14, 1, 1, 1}, data.train().counts());
            assertArrayEquals(new int[] {15, 3, 1, 1, 0}, data.val().counts());
            assertArrayEquals(new int[] {15, 3, 1, 0, 0}, data.test().counts());
            Set<Long> ids = new HashSet<>();
            for (Split split : List.of(data.train(), data.val(), data.test())) {
                split.samples().forEach(sample -> assertTrue(ids.add(sample.id()), "twice: " + sample));
            }
            assertEquals(126, ids.size());
            assertEquals(data.val().samples(), again.val().samples());
            assertNotEquals(data.val().samples(), other.val().samples());
        }
    }

    @Test
    void valFractionTakesItsShare() {
        Path flat = new Folders().pictures("a", 20).pictures("b", 20).write(folder.resolve("flat"));
        try (Dataset data = open(flat, 0.4)) {
            assertArrayEquals(new int[] {8, 8}, data.val().counts());
            assertArrayEquals(new int[] {3, 3}, data.test().counts());
            assertArrayEquals(new int[] {9, 9}, data.train().counts());
        }
        try (Dataset data = open(flat, 0)) {
            assertNull(data.val());
            assertArrayEquals(new int[] {17, 17}, data.train().counts());
        }
        Path train = new Folders().pictures("train/a", 10).pictures("train/b", 10).pictures("test/a", 2).pictures("test/b", 2)
                .write(folder.resolve("train-only"));
        try (Dataset data = open(train, 0.2)) {
            assertArrayEquals(new int[] {8, 8}, data.train().counts());
            assertArrayEquals(new int[] {2, 2}, data.val().counts());
            assertArrayEquals(new int[] {2, 2}, data.test().counts());
        }
        Path both = splits().write(folder.resolve("both"));
        assertTrue(assertThrows(DataException.class, () -> open(both, 0.2)).getMessage().contains("has a val/ folder"));
        assertThrows(DataException.class, () -> open(flat, 0.9));
        assertThrows(IllegalArgumentException.class, () -> open(flat, 1));
    }

    @Test
    void brokenPicturesAreListedAndLeftOut() {
        splits().file("train/Ant/broken.jpg", new byte[] {(byte) 0xFF, (byte) 0xD8, (byte) 0xFF, (byte) 0xE0, 0})
                .file("train/Ant/empty.png", new byte[0]).file("train/bee/notes.txt", new byte[3]).write(folder);
        try (Dataset data = Dataset.open(folder, 0)) {
            assertArrayEquals(new int[] {4, 3}, data.train().counts());
            assertEquals(List.of("train/Ant/broken.jpg", "train/Ant/empty.png"),
                    data.rejected().stream().map(Rejected::path).toList());
            assertEquals("is empty", data.rejected().get(1).reason());
            assertEquals(2, data.warnings().size());
            assertEquals(6, data.train().samples().get(4).id(), "ids count the broken files, so that they are stable");
        }
    }

    @Test
    void copiesAcrossSplitsAreWarnedOf() {
        byte[] picture = Folders.picture(77);
        splits().file("train/Ant/x.bmp", picture).file("val/bee/y.bmp", picture).file("train/Ant/z.bmp", picture).write(folder);
        try (Dataset data = Dataset.open(folder, 0)) {
            assertEquals(1, data.warnings().size());
            assertEquals("1 pictures of val are exact copies of pictures in the splits before it (first: "
                    + "val/bee/y.bmp = train/Ant/x.bmp)", data.warnings().get(0));
        }
    }

    @Test
    void dataThatCannotBeUsedIsRefusedInOneLine() throws IOException {
        assertTrue(refusal(folder.resolve("none")).contains("no such folder or zip file"));
        assertTrue(refusal(Files.createDirectory(folder.resolve("empty"))).contains("no pictures"));
        assertTrue(refusal(Files.writeString(folder.resolve("text.zip"), "no zip")).contains("no readable zip file"));
        assertTrue(refusal(new Folders().pictures("only", 3).write(folder.resolve("one"))).contains("one class only ('only')"));
        assertTrue(refusal(new Folders().pictures("a", 3).file("b/", null).write(folder.resolve("hollow")))
                .contains("class 'b' has no readable picture to train on"));
        assertTrue(refusal(new Folders().pictures("a", 3).file("b/1.png", new byte[9]).write(folder.resolve("broken")))
                .contains("(1 are broken)"));
        assertTrue(refusal(splits().pictures("val/wasp", 1).write(folder.resolve("more")))
                .contains("class 'wasp' has no readable picture to train on"));
        assertTrue(refusal(new Folders().pictures("Train/a", 3).pictures("Train/b", 3).write(folder.resolve("case")))
                .contains("folder 'Train' looks like a split"));
        assertTrue(refusal(splits().pictures("valid/bee", 1).write(folder.resolve("valid")))
                .contains("folder 'valid' looks like a split"));
        Path loose = folder.resolve("loose");
        assertTrue(refusal(new Folders().file("1.bmp", Folders.picture(1)).write(loose)).contains("1 pictures lie outside"));
        assertTrue(refusal(new Folders().file("a/1.png", new byte[9]).file("b/1.png", new byte[9]).write(folder.resolve("all")))
                .contains("none of its 2 pictures can be read"));
    }

    @Test
    void hostileZipsDoNoHarm() {
        Folders files = splits().file("../../evil/a/1.bmp", Folders.picture(1)).file("/abs/a/1.bmp", Folders.picture(2))
                .file("train/Ant/bomb.bmp", new byte[4 << 20]);
        Path zip = files.zip(folder.resolve("hostile.zip"));
        try (Dataset data = Dataset.open(zip, 0, OptionalDouble.empty(), new Limits(1 << 20, 1 << 20))) {
            assertEquals(List.of("Ant", "bee"), data.classes());
            assertEquals(List.of(new Rejected("train/Ant/bomb.bmp", "unpacks to more than the limit of 1048576 bytes")),
                    data.rejected());
        }
    }

    @Test
    void namesAreSortedByCodePoint() {
        new Folders().pictures("b", 3).pictures("B", 3).pictures("\uFF5E", 3).pictures("\uD83D\uDC1D", 3).pictures("10", 3)
                .pictures("9", 3).write(folder);
        try (Dataset data = Dataset.open(folder, 0)) {
            assertEquals(List.of("10", "9", "B", "b", "\uFF5E", "\uD83D\uDC1D"), data.classes());
        }
    }
}
