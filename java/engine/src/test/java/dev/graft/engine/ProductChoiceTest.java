package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ProductChoiceTest {
    private static void with(Map<String, String> properties, Runnable body) {
        properties.forEach(System::setProperty);
        try {
            body.run();
        } finally {
            properties.keySet().forEach(System::clearProperty);
        }
    }

    @Test
    void propertiesAreReadWhenADeviceIsOpened() {
        assertEquals(ProductChoice.SILENT, ProductChoice.ofProperties());
        with(Map.of("graft.matmul", "own", "graft.f32.products", "bf16x6", "graft.tuning", "/t/file"), () -> {
            ProductChoice choice = ProductChoice.ofProperties();
            assertEquals(new ProductChoice(ProductChoice.Makers.OWN, ProductChoice.F32.BF16X6, Path.of("/t/file")), choice);
            List<String> said = new ArrayList<>();
            choice.each((key, word) -> said.add(key + " " + word));
            assertEquals(List.of("matmul own", "f32_products bf16x6", "tuning /t/file"), said);
            Device.open("cpu", 1, 1).close();
        });
    }

    @Test
    void aWrongWordNamesItsPropertyWhateverTheDevice() {
        for (Map.Entry<String, String> wrong : Map.of(
                "graft.matmul", "property graft.matmul: expected one of own, vendor, auto, got cublas",
                "graft.f32.products", "property graft.f32.products: expected one of exact, tf32, bf16x3, bf16x6, got cublas").entrySet()) {
            with(Map.of(wrong.getKey(), "cublas"), () -> assertEquals(wrong.getValue(),
                    assertThrows(IllegalArgumentException.class, () -> Device.open("reference", 1, 1)).getMessage()));
        }
    }
}
