package dev.graft.predict;

import dev.graft.data.Batch;
import dev.graft.data.DecodedCache;
import dev.graft.data.Limits;
import dev.graft.data.Loader;
import dev.graft.data.Rejected;
import dev.graft.data.Split;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Answers for files, one by one: a file that cannot be read says why and does not disturb the others. */
final class Answers {
    private final Predictor predictor;
    private final List<Path> files;
    private final float[][] logits;
    private final String[] problems;

    private Answers(Predictor predictor, List<Path> files) {
        this.predictor = predictor;
        this.files = files;
        this.logits = new float[files.size()][];
        this.problems = new String[files.size()];
    }

    /** In the order of the files, each with the {@code top} likeliest classes. */
    static List<Prediction> of(Predictor predictor, List<Path> files, int top, int decoders) {
        if (top < 1) {
            throw new IllegalArgumentException("top is " + top + ", expected at least 1");
        }
        Answers answers = new Answers(predictor, files);
        answers.compute(decoders);
        return IntStream.range(0, files.size()).mapToObj(i -> new Prediction(files.get(i), answers.logits[i] == null ? List.of()
                : Softmax.top(answers.logits[i], predictor.classes(), top), answers.problems[i])).toList();
    }

    private void compute(int decoders) {
        List<Path> there = new ArrayList<>();
        List<Integer> places = new ArrayList<>();
        for (int i = 0; i < files.size(); i++) {
            problems[i] = unusable(files.get(i));
            if (problems[i] == null) {
                there.add(files.get(i));
                places.add(i);
            }
        }
        if (!there.isEmpty()) {
            compute(Split.of(there, Limits.DEFAULT), places, decoders);
        }
    }

    private void compute(Split split, List<Integer> places, int decoders) {
        int classes = predictor.classes().size();
        try (Loader loader = Loader.sequential(split, predictor.pipeline(), predictor.batch(), Math.min(decoders, split.size()), new DecodedCache(0))) {
            loader.begin(0);
            for (Batch pictures = loader.next(); pictures != null; pictures = loader.next()) {
                float[] all = predictor.logits(pictures);
                for (int row = 0; row < pictures.validRows(); row++) {
                    logits[places.get((int) pictures.sampleIds()[row])] = Arrays.copyOfRange(all, row * classes, (row + 1) * classes);
                }
            }
            for (Rejected lost : loader.unreadable()) {
                for (int i = 0; i < split.size(); i++) {
                    if (split.samples().get(i).path().equals(lost.path())) {
                        problems[places.get(i)] = lost.reason();
                    }
                }
            }
        }
    }

    private static String unusable(Path file) {
        if (!Files.exists(file)) {
            return "no such file";
        }
        return Files.isDirectory(file) ? "a folder, expected a picture" : Files.isReadable(file) ? null : "not permitted to read it";
    }
}
