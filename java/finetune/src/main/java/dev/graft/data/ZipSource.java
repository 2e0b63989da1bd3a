package dev.graft.data;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * A zip file, read in place: nothing is written to disk, so hostile names have nowhere to go (they are left out), and no
 * entry is unpacked beyond the limit of bytes, whatever size it declares.
 */
final class ZipSource implements FileSource {
    private final Path path;
    private final ZipFile zip;

    ZipSource(Path path) {
        this.path = path;
        try {
            zip = new ZipFile(path.toFile());
        } catch (IOException failure) {
            throw new DataException(path + ": is no readable zip file: " + PictureDecoder.oneLine(failure), failure);
        }
    }

    @Override
    public List<String> names() {
        return zip.stream().map(ZipEntry::getName).filter(ZipSource::plain).distinct().toList();
    }

    private static boolean plain(String name) {
        return !name.startsWith("/") && name.indexOf('\\') < 0 && !Arrays.asList(name.split("/")).contains("..");
    }

    @Override
    public byte[] read(String name, Limits limits) throws IOException {
        ZipEntry entry = zip.getEntry(name);
        if (entry == null) {
            throw new IOException("no such entry");
        }
        int most = (int) Math.min(limits.bytes() + 1, Integer.MAX_VALUE - 8);
        try (InputStream in = zip.getInputStream(entry)) {
            byte[] bytes = in.readNBytes(most);
            if (bytes.length == most) {
                throw new UnreadablePicture(describe(name), "unpacks to more than the limit of " + limits.bytes() + " bytes");
            }
            return bytes;
        }
    }

    @Override
    public String describe(String name) {
        return path + "!" + name;
    }

    @Override
    public void close() throws IOException {
        zip.close();
    }
}
