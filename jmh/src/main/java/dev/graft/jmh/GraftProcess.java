package dev.graft.jmh;

import dev.graft.engine.Precision;
import dev.graft.pairs.Measurement;
import dev.graft.pairs.Request;
import dev.graft.pairs.Step;
import java.util.Map;
import java.util.TreeMap;

/** One measured process of Graft: {@code GraftProcess WORKLOAD --precision f32|bf16 ...}, see {@link Request}. */
public final class GraftProcess {
    private GraftProcess() {}

    public static void main(String[] arguments) throws Exception {
        Request request = Request.parse(arguments);
        Precision precision = request.precision().equals("bf16") ? Precision.BF16 : Precision.F32;
        Map<String, String> settings = new TreeMap<>();
        settings.put("precision", request.precision());
        settings.put("threads", String.valueOf(request.threads()));
        int threads = request.threads();
        Step step = switch (request.workload()) {
            case RESNET18_FULL -> resnet18("full", precision, threads);
            case RESNET18_HEAD -> resnet18("head", precision, threads);
            case RESNET18_LASTBLOCK -> resnet18("partial:from=layer4", precision, threads);
            case SOFTMAX_CE -> new SoftmaxCrossEntropyStep(threads);
            case ADAMW_100M -> new AdamWStep(threads);
            case FEATURE_CACHE -> new CachedHead(precision, threads, settings);
            case LOADER -> new LoaderEpoch(precision, threads, settings);
            default -> throw new IllegalArgumentException("Graft does not run " + request.workload().id());
        };
        System.out.println(Measurement.of(step, request.warmup(), request.steps(), settings).json());
        if (step instanceof AutoCloseable open) {
            open.close();
        }
    }

    private static Step resnet18(String strategy, Precision precision, int threads) {
        return new TrainingStep("resnet18", strategy, precision, 32, threads);
    }
}
