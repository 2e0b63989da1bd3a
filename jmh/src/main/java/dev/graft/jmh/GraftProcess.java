package dev.graft.jmh;

import dev.graft.engine.Precision;
import dev.graft.jmh.TrainingStep.Recipe;
import dev.graft.model.Network;
import dev.graft.pairs.Measurement;
import dev.graft.pairs.Request;
import dev.graft.pairs.Step;
import java.util.Map;
import java.util.TreeMap;

/** One measured process of Graft: {@code GraftProcess WORKLOAD --precision f32|bf16 ...}, see {@link Request}. */
public final class GraftProcess {
    private static final String LORA = "lora:r=8,alpha=16,targets=*.qkv";

    private GraftProcess() {}

    public static void main(String[] arguments) throws Exception {
        Request request = Request.parse(arguments);
        Precision precision = precision(request);
        Map<String, String> settings = new TreeMap<>();
        settings.put("precision", request.precision());
        settings.put("threads", String.valueOf(request.threads()));
        int threads = request.threads();
        Step step = switch (request.workload()) {
            case RESNET18_FULL -> resnet18("full", request, settings);
            case RESNET18_HEAD -> resnet18("head", request, settings);
            case RESNET18_LASTBLOCK -> resnet18("partial:from=layer4", request, settings);
            case SOFTMAX_CE -> new SoftmaxCrossEntropyStep(threads);
            case ADAMW_100M -> new AdamWStep(threads);
            case LORA_LINEAR -> new LinearStep(4096, 1, 1, precision, threads);
            case VIT_TINY_FULL -> trained(StartFile.published(StartFile.VIT_TINY), Recipe.adamW("full"), 32, request, settings);
            case VIT_BASE_LORA -> trained(StartFile.of100Classes(StartFile.VIT_BASE), Recipe.adamW(LORA), 8, request, settings);
            case LORA_OVER_FROZEN -> new InTurns(
                    new LinearStep(4096, 1, 1, precision, threads), new LinearStep(4096, 1, 0, precision, threads), settings);
            case LORA_OVER_FULL -> {
                Network network = StartFile.of100Classes(StartFile.VIT_BASE);
                Step full = new TrainingStep(network, Recipe.adamW("full"), precision, 8, threads);
                yield new InTurns(new TrainingStep(network, Recipe.adamW(LORA), precision, 8, threads), full, settings);
            }
            case GROUPED_OVER_SINGLE -> new InTurns(
                    new LinearStep(32, 128, 8, precision, threads), new LinearStep(32, 128, 1, precision, threads), settings);
            case FEATURE_CACHE -> new CachedHead(precision, threads, settings);
            case LOADER -> new LoaderEpoch(precision, threads, settings);
        };
        System.out.println(Measurement.of(step, request.warmup(), request.steps(), settings).json());
        if (step instanceof AutoCloseable open) {
            open.close();
        }
    }

    private static Step resnet18(String strategy, Request request, Map<String, String> settings) {
        return trained(StartFile.published("resnet18"), Recipe.sgd(strategy), 32, request, settings);
    }

    private static Step trained(Network network, Recipe recipe, int batch, Request request, Map<String, String> settings) {
        TrainingStep step = new TrainingStep(network, recipe, precision(request), batch, request.threads());
        settings.putAll(step.sizes());
        return step;
    }

    private static Precision precision(Request request) {
        return request.precision().equals("bf16") ? Precision.BF16 : Precision.F32;
    }
}
