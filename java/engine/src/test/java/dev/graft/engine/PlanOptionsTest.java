package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.util.Locale;
import org.junit.jupiter.api.Test;

class PlanOptionsTest {
    @Test
    void textIsTheSameInEveryLocale() {
        Locale before = Locale.getDefault();
        try {
            Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
            PlanOptions options = PlanOptions.train(1500, new Optimizer.AdamW(0.9, 0.999, 1e-8)).clip(true)
                    .train("a.weight", 1).rows("a.weight", 2, 5).rows("a.weight", 7, 8).train("b", 0)
                    .mask("b", Path.of("/m/b.bits")).track("bn.running_mean").keep("relu").limit(1L << 40)
                    .products(new ProductChoice(ProductChoice.Makers.VENDOR, ProductChoice.F32.BF16X6, Path.of("/t/a b"))).build();
            assertEquals("""
                    mode train
                    precision f32
                    batch 1500
                    fold 1
                    fuse 1
                    accumulate 0
                    optimizer adamw beta1=0.9,beta2=0.999,eps=1.0E-8,clip=1
                    groups 2
                    train 1 a.weight
                    rows a.weight 2 5
                    rows a.weight 7 8
                    train 0 b
                    mask b /m/b.bits
                    track bn.running_mean
                    keep relu
                    limit 1099511627776
                    matmul vendor
                    f32_products bf16x6
                    tuning /t/a b
                    """, options.text());
        } finally {
            Locale.setDefault(before);
        }
    }

    @Test
    void badOptionsAreNamed() {
        assertThrows(IllegalArgumentException.class, () -> PlanOptions.eval(0).build());
        assertThrows(IllegalArgumentException.class, () -> PlanOptions.eval(1).train("w").build());
        assertThrows(IllegalArgumentException.class, () -> new Optimizer.Sgd(1, false));
        assertThrows(IllegalArgumentException.class, () -> new Optimizer.Sgd(0, true));
        assertThrows(IllegalArgumentException.class, () -> new Optimizer.Adam(0.9, Double.NaN, 1e-8));
        PlanOptions.Builder builder = PlanOptions.train(1, new Optimizer.Adam()).train("w");
        assertThrows(IllegalArgumentException.class, () -> builder.train("w", 1));
        assertThrows(IllegalArgumentException.class, () -> builder.rows("v", 0, 1));
        assertThrows(IllegalArgumentException.class, () -> builder.rows("w", 1, 1));
    }

    @Test
    void equalOptionsAreOneKey() {
        assertEquals(Mlp.sgd(4, "a", "b").build(), Mlp.sgd(4, "a", "b").build());
    }
}
