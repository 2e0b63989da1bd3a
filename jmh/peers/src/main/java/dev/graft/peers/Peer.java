package dev.graft.peers;

import dev.graft.pairs.Measurement;
import dev.graft.pairs.Request;
import dev.graft.pairs.Step;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.bytedeco.pytorch.global.torch;

/**
 * One measured process of the PyTorch preset: {@code Peer WORKLOAD --variant untuned|tuned ...}, see {@link Request}.
 * {@code untuned} is what the preset's samples do. {@code tuned} adds channels-last activations and weights, and CPU
 * autocast where bf16 is asked for; its allocator and its BLAS come by LD_PRELOAD and a system property from whoever starts the
 * process.
 */
public final class Peer {
    private Peer() {}

    public static void main(String[] arguments) {
        Request request = Request.parse(arguments);
        boolean tuned = request.variant().equals("tuned");
        if (!tuned && !request.variant().equals("untuned")) {
            throw new IllegalArgumentException("expected variant untuned or tuned, got " + request.variant());
        }
        if (!tuned && !request.precision().equals("f32")) {
            throw new IllegalArgumentException("the untuned preset runs in f32, not in " + request.precision());
        }
        torch.set_num_threads(request.threads());
        torch.manual_seed(0);
        Map<String, String> settings = new TreeMap<>();
        settings.put("library", "pytorch preset " + torch.class.getPackage().getImplementationVersion());
        settings.put("variant", request.variant());
        settings.put("precision", request.precision());
        settings.put("threads", String.valueOf(torch.get_num_threads()));
        settings.put("preload", System.getenv().getOrDefault("LD_PRELOAD", "nothing"));
        settings.put("blas", System.getProperty("org.bytedeco.openblas.load", "openblas"));
        Step step = switch (request.workload()) {
            case RESNET18_FULL -> new ResNetStep(-1, tuned, request.precision(), settings);
            case RESNET18_LASTBLOCK -> new ResNetStep(6, tuned, request.precision(), settings);
            case RESNET18_HEAD -> new ResNetStep(8, tuned, request.precision(), settings);
            case SOFTMAX_CE -> new SoftmaxCrossEntropyStep();
            case ADAMW_100M -> new AdamWStep();
            case LORA_LINEAR -> new LoraLinearStep(request.precision(), settings);
            case VIT_TINY_FULL -> vision("vit_tiny_patch16_224", 192, 3, 1000, 0, 32, request, settings);
            case VIT_BASE_LORA -> vision("vit_base_patch16_224-100", 768, 12, 100, 8, 8, request, settings);
            default -> throw new IllegalArgumentException("the preset does not run " + request.workload().id());
        };
        System.out.println(Measurement.of(step, request.warmup(), request.steps(), settings).json());
    }

    /** @param start name of the file with the weights that Graft's side starts from too */
    private static Step vision(String start, long width, long heads, int classes, long rank, int batch, Request request,
            Map<String, String> settings) {
        boolean fusedAttention = request.precision().equals("f32");
        settings.put("attention", fusedAttention ? "fused" : "plain");
        VisionTransformer net = new VisionTransformer(width, heads, classes, rank, fusedAttention);
        Path file = Path.of("jmh/target/weights", start + ".safetensors");
        return new VisionStep(net, file, batch, classes, request.precision(), settings);
    }
}
