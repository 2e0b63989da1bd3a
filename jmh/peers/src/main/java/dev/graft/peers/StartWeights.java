package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.from_blob;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.StringTensorDict;
import org.bytedeco.pytorch.Tensor;

/** Reads the F32 weights that Graft's side starts from (safetensors) into a module that names its parameters alike. */
final class StartWeights {
    private StartWeights() {}

    /**
     * Fills every parameter of {@code module} but the low-rank branches, which start by their own rule.
     *
     * @throws IllegalStateException if a tensor is missing or of another size
     */
    static void load(Path file, Module module) {
        try (PointerScope scope = new PointerScope(); NoGradGuard noGrad = new NoGradGuard();
                FileChannel channel = FileChannel.open(file)) {
            long headerBytes = read(channel, 0, 8).getLong();
            ByteBuffer text = read(channel, 8, headerBytes);
            JsonNode header = JsonMapper.builder().build().readTree(StandardCharsets.UTF_8.decode(text).toString());
            StringTensorDict parameters = module.named_parameters();
            for (long i = 0; i < parameters.size(); i++) {
                String name = parameters.get(i).key().getString();
                if (!name.contains(".lora_")) {
                    copy(channel, 8 + headerBytes, header.path(name), name, parameters.get(i).value());
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + file + ", which jmh/pairs/run writes", e);
        }
    }

    private static void copy(FileChannel channel, long start, JsonNode entry, String name, Tensor into) throws IOException {
        long[] range = {entry.path("data_offsets").path(0).asLong(), entry.path("data_offsets").path(1).asLong()};
        if (!entry.path("dtype").asText().equals("F32") || range[1] - range[0] != into.numel() * Float.BYTES) {
            throw new IllegalStateException(
                    "expected " + into.numel() + " F32 elements of " + name + " in the start file, got " + entry);
        }
        try (PointerScope scope = new PointerScope()) {
            ByteBuffer bytes = read(channel, start + range[0], range[1] - range[0]);
            into.copy_(from_blob(new Pointer(bytes), into.sizes()));
        }
    }

    private static ByteBuffer read(FileChannel channel, long position, long count) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocateDirect(Math.toIntExact(count)).order(ByteOrder.LITTLE_ENDIAN);
        while (bytes.hasRemaining()) {
            if (channel.read(bytes, position + bytes.position()) < 0) {
                throw new EOFException("the file ends early");
            }
        }
        return bytes.flip();
    }
}
