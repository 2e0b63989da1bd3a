package dev.graft.model;

import dev.graft.weights.NearestName;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The list of all models. */
public final class Models {
    private static final Map<String, Architecture> ALL = new LinkedHashMap<>();

    static {
        Stream.of(ResNet.architectures(), CifarResNet.architectures(), SqueezeNet.architectures(), MobileNetV1.architectures(),
                        VisionTransformer.architectures())
                .flatMap(List::stream).forEach(a -> ALL.put(a.name(), a));
    }

    private Models() {}

    /** All names, family by family; variants of a model, {@code NAME:VARIANT}, are not listed. */
    public static List<String> names() {
        return ALL.keySet().stream().filter(name -> name.indexOf(':') < 0).toList();
    }

    /** Whether there is a model or variant of this name. */
    public static boolean has(String name) {
        return ALL.containsKey(name);
    }

    /**
     * The model of this name.
     *
     * @throws IllegalArgumentException where there is none; the message offers the nearest name
     */
    public static Architecture named(String name) {
        Architecture found = ALL.get(name);
        if (found == null) {
            String nearest = NearestName.of(name, ALL.keySet());
            throw new IllegalArgumentException("unknown model " + name + (nearest == null ? ": expected one of "
                    + String.join(", ", names()) : ", did you mean " + nearest + "?"));
        }
        return found;
    }
}
