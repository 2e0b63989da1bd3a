package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Data and weights that cannot be used end in one line that names them. */
class BadInputTest {
    @TempDir
    Path folder;

    private Invocation scratch(Path data) {
        return Invocation.of("finetune", "--model", "cifar_resnet20", "--strategy", "scratch", "--epochs", "1", "--threads", "1", "--data", data,
                "--out", folder.resolve("out"));
    }

    private Invocation weights(Path file) {
        return Invocation.of("finetune", "--model", "cifar_resnet20", "--weights", file, "--data",
                Folders.twoClasses(folder.resolve("pictures"), 2, 1), "--out", folder.resolve("out"));
    }

    @Test
    void absentData() {
        scratch(folder.resolve("absent")).failed(3, "absent: no such folder or zip file");
    }

    @Test
    void emptyData() throws IOException {
        Path empty = Files.createDirectory(folder.resolve("empty"));
        scratch(empty).failed(3, empty.toString());
    }

    @Test
    void oneClass() {
        scratch(Folders.oneClass(folder.resolve("one"))).failed(3, "one class only ('disc')");
    }

    @Test
    void noReadablePicture() throws IOException {
        Path data = folder.resolve("broken");
        for (String label : new String[] {"a", "b"}) {
            Files.createDirectories(data.resolve("train").resolve(label));
            Files.writeString(data.resolve("train").resolve(label).resolve("x.png"), "no picture");
        }
        scratch(data).failed(3, "none of its 2 pictures can be read");
    }

    @Test
    void damagedZip() throws IOException {
        scratch(Files.writeString(folder.resolve("data.zip"), "PK\u0003\u0004 no more")).failed(3, "data.zip");
    }

    @Test
    void decompressionBombIsLeftOut() throws IOException {
        Path data = Folders.twoClasses(folder.resolve("pictures"), 3, 1);
        byte[] bomb = Files.readAllBytes(data.resolve("train/disc/0000.png"));
        // IHDR: width and height of 60000 pixels, big-endian at 16 and 20
        for (int at : new int[] {16, 20}) {
            bomb[at] = 0;
            bomb[at + 1] = 0;
            bomb[at + 2] = (byte) 0xEA;
            bomb[at + 3] = 0x60;
        }
        Files.write(data.resolve("train/disc/bomb.png"), bomb);
        Invocation done = scratch(data).done();
        assertTrue(done.err().contains("bomb.png"), done.err());
    }

    @Test
    void absentTruncatedAndForeignWeights() throws IOException {
        weights(folder.resolve("absent.pth")).failed(3, "absent.pth: no such file");
        weights(Files.write(folder.resolve("empty.pth"), new byte[0])).failed(3, "empty.pth: the file is empty");
        weights(Files.writeString(folder.resolve("text.pth"), "this is no checkpoint at all")).failed(3, "text.pth");
        Path page = Files.writeString(folder.resolve("page.safetensors"), "<!DOCTYPE html><html></html>");
        weights(page).failed(3, "looks like a web page");
        byte[] header = ("\u0010\0\0\0\0\0\0\0{\"a\":1}         ").getBytes(StandardCharsets.ISO_8859_1);
        weights(Files.write(folder.resolve("header.safetensors"), header)).failed(3, "header.safetensors");
    }

    @Test
    void hostilePickleIsRefusedByName() throws IOException {
        // protocol 2, the call os.system("touch ..."), stop
        byte[] pickle = ("\u0080\u0002cos\nsystem\nX\u0005\0\0\0touch\u0085R.").getBytes(StandardCharsets.ISO_8859_1);
        weights(Files.write(folder.resolve("hostile.pth"), pickle)).failed(3, "hostile.pth");
    }

    @Test
    void damagedBundle() throws IOException {
        Path run = folder.resolve("run");
        Path data = Folders.twoClasses(folder.resolve("pictures"), 2, 1);
        Invocation.of("finetune", "--model", "cifar_resnet20", "--strategy", "scratch", "--epochs", "1", "--threads", "1", "--data", data, "--out",
                run).done();
        byte[] tensors = Files.readAllBytes(run.resolve("weights.safetensors"));
        Files.write(run.resolve("weights.safetensors"), Arrays.copyOf(tensors, tensors.length / 2));
        Path picture = data.resolve("val/disc/0000.png");
        Invocation.of("predict", "--run", run, picture).failed(3, "truncated");
        Invocation.of("evaluate", "--run", run, "--data", data).failed(3, "truncated");
        weights(run).failed(3, "truncated");
        Files.writeString(run.resolve("bundle.json"), "{");
        Invocation.of("predict", "--run", run, picture).failed(3, "bundle.json");
    }

    @Test
    void classesThatTheResultDoesNotKnow() {
        Path run = folder.resolve("run");
        Path data = Folders.twoClasses(folder.resolve("pictures"), 2, 1);
        Invocation.of("finetune", "--model", "cifar_resnet20", "--strategy", "scratch", "--epochs", "1", "--threads", "1", "--data", data, "--out",
                run).done();
        Path other = folder.resolve("other");
        ShapePictures.source().write(other.resolve("val"), List.of(Shape.DISC, Shape.RING), 2, 1);
        Invocation.of("evaluate", "--run", run, "--data", other).failed(3, "the class 'ring'", "knows cross, disc");
        Invocation.of("finetune", "--model", "cifar_resnet20", "--weights", run, "--head", "keep", "--data", folder.resolve("none"), "--out",
                folder.resolve("out")).failed(3, "none");
    }

    @Test
    void folderThatCannotBeWritten() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "x");
        Path data = Folders.twoClasses(folder.resolve("pictures"), 2, 1);
        Invocation.of("finetune", "--model", "cifar_resnet20", "--strategy", "scratch", "--data", data, "--out", file).failed(2, "is a file");
        Invocation.of("finetune", "--model", "cifar_resnet20", "--strategy", "scratch", "--data", data, "--out", file.resolve("run")).failed(1,
                "cannot write");
    }
}
