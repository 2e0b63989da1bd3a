package dev.graft.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class LoaderTest {
    private static final DecodedCache NO_CACHE = new DecodedCache(0);

    @TempDir
    Path folder;
    private Pipeline augmented;
    private Pipeline plain;

    @BeforeEach
    void pipelines() {
        plain = Pipeline.evaluation(PipelineTest.card(8, 4));
        augmented = Pipeline.training(PipelineTest.card(8, 4), Augmentation.parse("crop+flip"), 3);
    }

    private Dataset dataset(int perClass) {
        return Dataset.open(new Folders().pictures("train/a", perClass).pictures("train/b", perClass).write(folder), 0);
    }

    /** Everything an epoch delivers: label and pixels by sample id. */
    private static Map<Long, float[]> epoch(Loader loader, int epoch) {
        Map<Long, float[]> rows = new TreeMap<>();
        loader.begin(epoch);
        for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
            int floats = batch.pixels().capacity() / batch.rows();
            for (int row = 0; row < batch.validRows(); row++) {
                float[] line = new float[floats + 1];
                batch.pixels().get(row * floats, line, 0, floats);
                line[floats] = batch.labels()[row];
                assertNull(rows.put(batch.sampleIds()[row], line), "delivered twice");
            }
        }
        return rows;
    }

    private static List<Long> order(Loader loader, int epoch) {
        List<Long> ids = new ArrayList<>();
        loader.begin(epoch);
        for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
            for (int row = 0; row < batch.validRows(); row++) {
                ids.add(batch.sampleIds()[row]);
            }
        }
        return ids;
    }

    @Test
    void whatIsDeliveredDependsNeitherOnThreadsNorBatchesNorCaches() {
        try (Dataset data = dataset(25); Loader one = Loader.shuffled(data.train(), augmented, 8, 1, 5, NO_CACHE)) {
            Map<Long, float[]> expected = epoch(one, 2);
            assertEquals(50, expected.size());
            for (int threads : new int[] {1, 2, 5}) {
                for (int batch : new int[] {1, 7, 50, 64}) {
                    try (Loader loader = Loader.shuffled(data.train(), augmented, batch, threads, 9, new DecodedCache(4000))) {
                        for (int repeat = 0; repeat < 2; repeat++) {
                            Map<Long, float[]> actual = epoch(loader, 2);
                            assertEquals(expected.keySet(), actual.keySet());
                            expected.forEach((id, row) -> assertArrayEquals(row, actual.get(id), "sample " + id));
                        }
                    }
                }
            }
        }
    }

    @Test
    void orderIsAPermutationOfSeedAndEpoch() {
        try (Dataset data = dataset(10); Loader loader = Loader.shuffled(data.train(), plain, 8, 2, 5, NO_CACHE);
                Loader same = Loader.shuffled(data.train(), plain, 3, 1, 5, NO_CACHE);
                Loader sequential = Loader.sequential(data.train(), plain, 8, 2, NO_CACHE)) {
            assertEquals(order(loader, 1), order(same, 1));
            assertNotEquals(order(loader, 1), order(loader, 2));
            List<Long> ids = data.train().samples().stream().map(Sample::id).toList();
            assertEquals(ids, order(sequential, 0));
            assertEquals(ids, order(sequential, 7));
        }
    }

    @Test
    void lastBatchIsPaddedWithZeros() {
        try (Dataset data = dataset(5); Loader loader = Loader.shuffled(data.train(), plain, 4, 2, 0, NO_CACHE)) {
            assertEquals(3, loader.batches());
            loader.begin(0);
            assertEquals(4, loader.next().validRows());
            assertEquals(4, loader.next().validRows());
            Batch last = loader.next();
            assertEquals(2, last.validRows());
            assertEquals(4, last.rows());
            for (int i = 2 * plain.floats(); i < 4 * plain.floats(); i++) {
                assertEquals(0f, last.pixels().get(i));
            }
            assertArrayEquals(new int[] {0, 0}, Arrays.copyOfRange(last.labels(), 2, 4));
            assertNull(last.path(3));
            assertTrue(last.path(1).startsWith("train/"));
            assertNull(loader.next());
            assertNull(loader.next());
        }
    }

    @Test
    void slotsAreReusedAndDirect() {
        try (Dataset data = dataset(20); Loader loader = Loader.shuffled(data.train(), plain, 4, 2, 0, NO_CACHE)) {
            loader.begin(0);
            Batch first = loader.next();
            assertTrue(first.pixels().isDirect());
            loader.next();
            assertEquals(first, loader.next());
        }
    }

    @Test
    void beginDropsTheRestOfAnEpoch() {
        try (Dataset data = dataset(20); Loader loader = Loader.shuffled(data.train(), plain, 4, 3, 0, NO_CACHE)) {
            List<Long> whole = order(loader, 1);
            for (int i = 0; i < 20; i++) {
                loader.begin(0);
                loader.next();
                loader.begin(1);
                List<Long> ids = new ArrayList<>();
                for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
                    for (int row = 0; row < batch.validRows(); row++) {
                        ids.add(batch.sampleIds()[row]);
                    }
                }
                assertEquals(whole, ids);
            }
        }
    }

    @Test
    void picturesBrokenLaterAreLeftOutAndListed() throws IOException {
        try (Dataset data = dataset(5)) {
            Files.write(folder.resolve("train/a/1.bmp"), new byte[] {'B', 'M', 0});
            try (Loader loader = Loader.sequential(data.train(), plain, 3, 2, NO_CACHE)) {
                for (int epoch = 0; epoch < 2; epoch++) {
                    assertEquals(List.of(0L, 2L, 3L, 4L, 5L, 6L, 7L, 8L, 9L), order(loader, epoch));
                }
                assertEquals(List.of("train/a/1.bmp"), loader.unreadable().stream().map(Rejected::path).toList());
                loader.begin(0);
                Batch first = loader.next();
                assertEquals(2, first.validRows());
                float[] moved = new float[plain.floats()];
                first.pixels().get(plain.floats(), moved);
                float[] expected = epoch(loader, 0).get(2L);
                assertArrayEquals(Arrays.copyOf(expected, moved.length), moved, "row 1 is the picture after the broken one");
            }
        }
    }

    @Test
    void tooManyBrokenPicturesAndMissingFilesSurface() throws IOException {
        try (Dataset data = dataset(5)) {
            for (int i = 0; i < 5; i++) {
                Files.write(folder.resolve("train/a/" + i + ".bmp"), new byte[3]);
            }
            try (Loader loader = Loader.sequential(data.train(), plain, 2, 2, NO_CACHE)) {
                DataException thrown = assertThrows(DataException.class, () -> order(loader, 0));
                assertTrue(thrown.getMessage().contains("no picture of class 'a' can be read"), thrown.getMessage());
            }
            Files.delete(folder.resolve("train/b/2.bmp"));
            try (Loader loader = Loader.sequential(data.train(), plain, 20, 2, NO_CACHE)) {
                assertThrows(DataException.class, () -> order(loader, 0));
            }
        }
        try (Dataset data = dataset(5)) {
            Path gone = folder.resolve("train/b/2.bmp");
            Files.delete(gone);
            try (Loader loader = Loader.sequential(data.train(), plain, 2, 2, NO_CACHE)) {
                DataException thrown = assertThrows(DataException.class, () -> order(loader, 0));
                assertTrue(thrown.getMessage().startsWith(gone + ": cannot be read"), thrown.getMessage());
            }
        }
    }

    @Test
    void cacheKeepsWithinItsLimitAndSparesDecoding() throws IOException {
        try (Dataset data = dataset(10)) {
            DecodedCache cache = new DecodedCache(1 << 20);
            DecodedCache small = new DecodedCache(600);
            try (Loader loader = Loader.sequential(data.train(), plain, 4, 3, cache);
                    Loader tight = Loader.sequential(data.train(), plain, 4, 3, small)) {
                Map<Long, float[]> first = epoch(loader, 0);
                epoch(tight, 0);
                assertEquals(20, cache.size());
                assertTrue(small.size() > 0 && small.size() < 20 && small.bytes() <= 600, small.size() + " pictures");
                for (Sample sample : data.train().samples()) {
                    Files.delete(folder.resolve(sample.path()));
                }
                Map<Long, float[]> second = epoch(loader, 1);
                first.forEach((id, row) -> assertArrayEquals(row, second.get(id)));
            }
        }
    }

    @Test
    void closeLeavesNoThread() {
        try (Dataset data = dataset(50)) {
            for (int i = 0; i < 20; i++) {
                Loader loader = Loader.shuffled(data.train(), augmented, 4, 4, 0, NO_CACHE);
                loader.begin(0);
                if (i % 2 == 0) {
                    loader.next();
                }
                loader.close();
                loader.close();
                assertThrows(IllegalStateException.class, loader::next);
            }
            assertFalse(Thread.getAllStackTraces().keySet().stream().anyMatch(t -> t.getName().startsWith("graft-loader")));
        }
    }

    @Test
    void waitingIsMeasured() {
        try (Dataset data = dataset(50); Loader loader = Loader.shuffled(data.train(), plain, 100, 1, 0, NO_CACHE)) {
            long start = System.nanoTime();
            order(loader, 0);
            long all = System.nanoTime() - start;
            assertTrue(loader.waitedNanos() > 0 && loader.waitedNanos() <= all, loader.waitedNanos() + " of " + all);
        }
    }

    @Test
    void unlabelledFilesAreLoadedInOrder() {
        new Folders().pictures("x", 3).write(folder);
        List<Path> files = List.of(folder.resolve("x/2.bmp"), folder.resolve("x/0.bmp"));
        try (Loader loader = Loader.sequential(Split.of(files, Limits.DEFAULT), plain, 2, 1, NO_CACHE)) {
            loader.begin(0);
            Batch batch = loader.next();
            assertEquals(files.get(0).toString(), batch.path(0));
            assertEquals(files.get(1).toString(), batch.path(1));
        }
    }
}
