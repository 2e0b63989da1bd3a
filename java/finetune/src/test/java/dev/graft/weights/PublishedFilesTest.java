package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Checkpoints as their authors published them; what is expected here was read from them with PyTorch 2.13. */
class PublishedFilesTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            cifar_resnet20-12fca82f.th              | PyTorch (old format) |  97 | state_dict | module. |  0 | linear.weight       | 10x64
            cifar_resnet56-4bfd9763.th              | PyTorch (old format) | 277 | state_dict | module. |  0 | linear.weight       | 10x64
            mobilenetV1X0.25_pretrain.tar           | PyTorch (old format) | 164 | state_dict | module. | 27 | fc.weight           | 1000x256
            squeezenet1_1_caffe.pth                 | PyTorch (zip)        |  52 | ''         | ''      |  0 | classifier.1.weight | 1000x512x1x1
            squeezenet1_1_caffe_fp16.safetensors    | safetensors          |  52 | ''         | ''      |  0 | classifier.1.weight | 1000x512x1x1
            mobilenet_v1_0.25_224_keras.safetensors | safetensors          | 137 | ''         | ''      |  0 | conv_preds.weight   | 1000x256x1x1
            fastestdet_coco_280e.pth                | PyTorch (zip)        | 420 | ''         | ''      | 70 | backbone.first_conv.0.weight | 24x3x3x3
            espnetv2_s_0.5_pascal_256x256.pth       | PyTorch (old format) | 526 | ''         | ''      | 67 | base_net.level1.conv.weight | 16x3x3x3
            """)
    void everyPublishedFileIsListedAndRead(String name, String format, int tensors, String stateKey, String prefix, int counters,
                                           String tensor, String dims) {
        try (WeightFile file = WeightFile.open(TestFiles.published(name))) {
            assertEquals(format, file.format());
            assertEquals(tensors, file.tensors().size());
            assertEquals(stateKey, file.stateKey());
            assertEquals(prefix, file.strippedPrefix());
            assertEquals(counters, LoadReport.compare(file, List.of()).counters().size());
            assertEquals(dims, String.join("x", Arrays.stream(file.tensor(tensor).dims()).mapToObj(Long::toString).toList()));
            for (StoredTensor stored : file.tensors()) {
                for (float value : file.read(stored)) {
                    assertTrue(Float.isFinite(value), stored + " holds " + value);
                }
            }
        }
    }

    @Test
    void valuesAreThoseThatTorchReads() {
        checkValues("cifar_resnet56-4bfd9763.th", "layer3.8.conv2.weight", -0.004594008903950453f, -0.04599589481949806f, 12.557833285866934);
        checkValues("mobilenetV1X0.25_pretrain.tar", "stage1.1.4.running_var", 0.4250463545322418f, 0.720597505569458f, 5.709893111139536);
        checkValues("squeezenet1_1_caffe.pth", "classifier.1.weight", -0.03582763671875f, -0.021087646484375f, 3444.610087931156);
        checkValues("mobilenet_v1_0.25_224_keras.safetensors", "conv_dw_7.weight", -0.46137621998786926f, -0.6605627536773682f,
                60.888971998065244);
        checkValues("fastestdet_coco_280e.pth", "backbone.first_conv.0.weight", -0.12751074135303497f, 0.1174754723906517f, -2.5699345308790105);
        checkValues("espnetv2_s_0.5_pascal_256x256.pth", "base_net.level1.conv.weight", -0.32995346188545227f, -0.12054181843996048f,
                -1.2937971368519356);
    }

    private static void checkValues(String name, String tensor, float first, float last, double sum) {
        try (WeightFile file = WeightFile.open(TestFiles.published(name))) {
            float[] values = file.read(tensor);
            double total = 0;
            for (float value : values) {
                total += value;
            }
            assertEquals(first, values[0], name);
            assertEquals(last, values[values.length - 1], name);
            // both sums in double over the same numbers; only their order could differ
            assertEquals(sum, total, Math.abs(sum) * 1e-12, name);
        }
    }

    @Test
    void whatElseATrainingCheckpointHoldsIsListed() {
        try (WeightFile file = WeightFile.open(TestFiles.published("mobilenetV1X0.25_pretrain.tar"))) {
            assertEquals(List.of("epoch = 18", "arch = \"resnet18\"", "best_acc1 (tensor F32 [])", "optimizer (dictionary of 2)"), file.others());
        }
    }

    @Test
    void halfPrecisionKernelsWidenToThePublishedFloats() {
        try (WeightFile half = WeightFile.open(TestFiles.published("squeezenet1_1_caffe_fp16.safetensors"));
             WeightFile single = WeightFile.open(TestFiles.published("squeezenet1_1_caffe.pth"))) {
            assertEquals(Dtype.F16, half.tensor("features.0.weight").dtype());
            assertEquals(Dtype.F32, half.tensor("features.0.bias").dtype());
            TestFiles.assertSameTensors(single, half);
        }
    }

    @Test
    void aCheckpointRewrittenAsSafetensorsIsEqual() {
        try (WeightFile old = WeightFile.open(TestFiles.published("cifar_resnet20-12fca82f.th"))) {
            Path copy = folder.resolve("copy.safetensors");
            SafetensorsWriter.write(copy, Map.of(), old.tensors().stream().map(t -> TensorSource.of(old, t)).toList());
            try (WeightFile file = WeightFile.open(copy)) {
                TestFiles.assertSameTensors(old, file);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"cifar_resnet20-12fca82f.th,cifar_resnet20,32,32,.485,.229", "cifar_resnet56-4bfd9763.th,cifar_resnet56,32,32,.485,.229",
        "mobilenetV1X0.25_pretrain.tar,mobilenet_v1_025_leaky,256,224,.485,.229", "squeezenet1_1_caffe.pth,squeezenet1_1,256,224,.48235,.00392157",
        "squeezenet1_1_caffe_fp16.safetensors,squeezenet1_1,256,224,.48235,.00392157",
        "mobilenet_v1_0.25_224_keras.safetensors,mobilenet_v1_025,256,224,.5,.5"})
    void theirPreprocessingIsKnownUnderAnyName(String name, String model, int resize, int crop, float mean, float std) throws IOException {
        Path renamed = Files.copy(TestFiles.published(name), folder.resolve("renamed.bin"));
        KnownFiles.KnownFile known = KnownFiles.find(renamed);
        assertEquals(name, known.name());
        assertEquals(model, known.model());
        Card card = known.card();
        assertEquals("known file " + name + " (SHA-256)", card.origin());
        assertArrayEquals(new Object[] {resize, crop, mean, std, Interpolation.BILINEAR, ChannelOrder.RGB},
                new Object[] {card.resize(), card.crop(), card.mean()[0], card.std()[0], card.interpolation(), card.channels()});
    }
}
