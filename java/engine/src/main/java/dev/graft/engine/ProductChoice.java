package dev.graft.engine;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.BiConsumer;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * How a GPU makes the matrix products of a plan ({@link PlanOptions.Builder#products}). What is null here the system properties
 * {@code graft.matmul}, {@code graft.f32.products} and {@code graft.tuning} said when the {@link Device} was opened, which
 * hold for its direct kernels too; what they leave out the environment says: {@code GRAFT_MATMUL}, {@code GRAFT_F32_PRODUCTS},
 * {@code GRAFT_TUNING}. {@link Plan#describe()} names the kernel of each product. The processor has kernels of one kind and ignores it.
 *
 * @param matmul whose kernels; {@code own}, {@code vendor} or {@code auto} in properties. Else {@code auto}
 * @param f32 what products of F32 may be made of; {@code exact}, {@code tf32}, {@code bf16x3} or {@code bf16x6}. Else {@code exact}
 * @param tuning file that keeps what was measured to be fastest, made where it is missing; with the same file the same kernels run.
 *     Else nothing is measured and a fixed rule decides
 */
public record ProductChoice(Makers matmul, F32 f32, Path tuning) {
    /** Says nothing. */
    public static final ProductChoice SILENT = new ProductChoice(null, null, null);

    /** Whose kernels make products. */
    public enum Makers {
        /** Kernels of this library alone, whether a device like this one has checked them or not. */
        OWN,
        /** cuBLASLt where it takes a product; a plan does not compile where there is none. */
        VENDOR,
        /** cuBLASLt where it is found, and own kernels that passed their checks on such a device. */
        AUTO
    }

    /** What products of F32 may be made of. */
    public enum F32 {
        /** Products and sums of F32. */
        EXACT,
        /** Factors rounded to 10 bits. */
        TF32,
        /** Three products of bf16 parts: 16 bits. */
        BF16X3,
        /** Six products of bf16 parts: as good as F32. */
        BF16X6
    }

    /**
     * What the system properties say now.
     *
     * @throws IllegalArgumentException for a word that is none; names the property
     */
    static ProductChoice ofProperties() {
        return new ProductChoice(word("graft.matmul", Makers.values()), word("graft.f32.products", F32.values()),
                property("graft.tuning", Path::of));
    }

    /** Gives what is said as keys and words of the native interface. */
    void each(BiConsumer<String, String> taker) {
        if (matmul != null) {
            taker.accept("matmul", word(matmul));
        }
        if (f32 != null) {
            taker.accept("f32_products", word(f32));
        }
        if (tuning != null) {
            taker.accept("tuning", tuning.toAbsolutePath().toString());
        }
    }

    private static String word(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }

    private static <T extends Enum<T>> T word(String name, T[] values) {
        return property(name, given -> Arrays.stream(values).filter(v -> word(v).equals(given)).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("property " + name + ": expected one of "
                        + Arrays.stream(values).map(ProductChoice::word).collect(Collectors.joining(", ")) + ", got " + given)));
    }

    private static <T> T property(String name, Function<String, T> reader) {
        String given = System.getProperty(name);
        return given == null || given.isEmpty() ? null : reader.apply(given);
    }
}
