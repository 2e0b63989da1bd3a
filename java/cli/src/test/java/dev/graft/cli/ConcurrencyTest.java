package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.finetune.FineTuning;
import dev.graft.predict.Prediction;
import dev.graft.predict.Predictor;
import dev.graft.train.EpochRecord;
import dev.graft.train.TrainObserver;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Eight threads predict from one result while another trains, and answer as if they were alone. */
class ConcurrencyTest {
    @TempDir
    Path folder;

    @Test
    void predictionsStayTheSameWhileAnotherTrains() throws Exception {
        Path pictures = Folders.twoClasses(folder.resolve("pictures"), 8, 4);
        Path first = folder.resolve("first");
        try (FineTuning run = FineTuning.of("cifar_resnet20").data(pictures).strategy("scratch").epochs(1).batch(8).threads(1).out(first).open()) {
            run.run();
        }
        List<Path> files = List.of(pictures.resolve("val/disc/0000.png"), pictures.resolve("val/cross/0001.png"));
        ExecutorService threads = Executors.newFixedThreadPool(9);
        AtomicBoolean enough = new AtomicBoolean();
        AtomicInteger epochs = new AtomicInteger();
        try (Predictor predictor = Predictor.open(first, 1, 4)) {
            List<Prediction> alone = predictor.predict(files, 2);
            Future<?> training = threads.submit(() -> {
                try (FineTuning run = FineTuning.of("cifar_resnet20").weights(first).data(pictures).strategy("full").epochs(100_000).batch(8)
                        .threads(1).open()) {
                    run.run(counting(epochs), enough::get);
                }
            });
            List<Future<Integer>> answers = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                answers.add(threads.submit(() -> {
                    int same = 0;
                    while (epochs.get() < 3 || same < 5) {
                        assertEquals(alone, predictor.predict(files, 2));
                        same++;
                    }
                    return same;
                }));
            }
            for (Future<Integer> answer : answers) {
                assertTrue(answer.get() >= 5);
            }
            enough.set(true);
            training.get();
        } finally {
            enough.set(true);
            threads.shutdown();
        }
    }

    private static TrainObserver counting(AtomicInteger epochs) {
        return new TrainObserver() {
            @Override
            public void epoch(EpochRecord record) {
                epochs.incrementAndGet();
            }
        };
    }
}
