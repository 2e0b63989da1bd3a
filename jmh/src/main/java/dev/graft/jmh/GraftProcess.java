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

    public static void main(String[] arguments) {
        Request request = Request.parse(arguments);
        Precision precision = request.precision().equals("bf16") ? Precision.BF16 : Precision.F32;
        Map<String, String> settings = new TreeMap<>();
        settings.put("precision", request.precision());
        settings.put("threads", String.valueOf(request.threads()));
        Step step = switch (request.workload()) {
            case RESNET18_FULL -> new ResNetStep(Strategy.FULL, precision, 32, request.threads());
            case RESNET18_HEAD -> new ResNetStep(Strategy.HEAD, precision, 32, request.threads());
            case RESNET18_LASTBLOCK -> new ResNetStep(Strategy.LASTBLOCK, precision, 32, request.threads());
            case SOFTMAX_CE -> new SoftmaxCrossEntropyStep(request.threads());
            case ADAMW_100M -> new AdamWStep(request.threads());
        };
        System.out.println(Measurement.of(step, request.warmup(), request.steps(), settings).json());
    }
}
