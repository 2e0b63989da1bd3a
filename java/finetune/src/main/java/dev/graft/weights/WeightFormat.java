package dev.graft.weights;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Tells weight files apart by their first bytes and hands them to their reader. */
final class WeightFormat {
    private static final List<String> IN_FOLDERS = List.of("model.safetensors.index.json", "model.safetensors",
            "pytorch_model.bin.index.json", "pytorch_model.bin");
    private static final int TAR_MAGIC_AT = 257;

    private WeightFormat() {
    }

    /** The weight file of a folder: one of the usual names, else the only safetensors file. */
    static Path inFolder(Path folder) {
        for (String name : IN_FOLDERS) {
            if (Files.isRegularFile(folder.resolve(name))) {
                return folder.resolve(name);
            }
        }
        List<Path> found;
        try (Stream<Path> files = Files.list(folder)) {
            found = files.filter(f -> f.getFileName().toString().endsWith(".safetensors")).sorted().toList();
        } catch (IOException e) {
            throw Messages.unreadable(folder, e);
        }
        if (found.size() != 1) {
            throw new WeightsException(folder + ": " + (found.isEmpty() ? "no" : found.size()) + " safetensors files in this folder, expected "
                    + String.join(" or ", IN_FOLDERS) + " or a single *.safetensors");
        }
        return found.get(0);
    }

    /** Opens the file, adds it to {@code files} and lists it. */
    static FileContents read(Path path, Map<Path, FileBytes> files, boolean indexAllowed) {
        FileBytes file = FileBytes.open(path);
        files.put(path, file);
        ByteBuffer head = file.bytes(0, (int) Math.min(file.size(), TAR_MAGIC_AT + 5));
        if (head.limit() == 0) {
            throw new WeightsException(path + ": the file is empty");
        }
        boolean brace = head.limit() > 8 && head.get(8) == '{';
        // asked first: the length of a safetensors header may begin with any byte, a pickle's first ones among them
        if (brace && Long.compareUnsigned(head.getLong(0), SafetensorsHeader.LONGEST) <= 0) {
            return SafetensorsHeader.read(file);
        }
        if (starts(head, 0, "PK\u0003\u0004")) {
            return TorchZip.read(file);
        }
        if (head.limit() > 1 && head.get(0) == (byte) 0x80 && head.get(1) <= 5 && head.get(1) >= 2) {
            return TorchLegacy.read(file);
        }
        if (brace) {
            return SafetensorsHeader.read(file);
        }
        if (indexAllowed && path.getFileName().toString().endsWith(".json")) {
            return ShardIndex.read(file, shard -> read(shard, files, false));
        }
        throw new WeightsException(path + ": " + foreign(head));
    }

    private static String foreign(ByteBuffer head) {
        String known = "; expected safetensors or a PyTorch checkpoint";
        if (starts(head, TAR_MAGIC_AT, "ustar")) {
            return "a tar archive as PyTorch before 0.2 wrote it; load and save it once with a later PyTorch" + known;
        }
        if (starts(head, 1, "HDF")) {
            return "an HDF5 file (Keras)" + known;
        }
        if (starts(head, 0, "GGUF")) {
            return "a GGUF file" + known;
        }
        if (starts(head, 0, "\u001f\u008b")) {
            return "compressed with gzip; unpack it first" + known;
        }
        if (starts(head, 0, "version https://git-lfs")) {
            return "a Git LFS pointer, not the file it points to";
        }
        if (starts(head, 0, "<")) {
            return "looks like a web page" + known;
        }
        return "neither a safetensors file nor a PyTorch checkpoint (" + head.limit() + " bytes looked at)";
    }

    private static boolean starts(ByteBuffer head, int at, String magic) {
        byte[] bytes = magic.getBytes(StandardCharsets.ISO_8859_1);
        for (int i = 0; i < bytes.length; i++) {
            if (at + i >= head.limit() || head.get(at + i) != bytes[i]) {
                return false;
            }
        }
        return true;
    }
}
