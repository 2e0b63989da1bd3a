package dev.graft.weights;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** An open file of any size read at positions; every failure names the file. Thread-safe. */
final class FileBytes implements AutoCloseable {
    private final Path path;
    private final FileChannel channel;
    private final long size;

    private FileBytes(Path path, FileChannel channel, long size) {
        this.path = path;
        this.channel = channel;
        this.size = size;
    }

    static FileBytes open(Path path) {
        FileChannel channel = null;
        try {
            if (Files.isDirectory(path)) {
                throw new WeightsException(path + ": a folder, expected a file");
            }
            channel = FileChannel.open(path, StandardOpenOption.READ);
            return new FileBytes(path, channel, channel.size());
        } catch (IOException e) {
            if (channel != null) {
                closeQuietly(channel, e);
            }
            throw Messages.unreadable(path, e);
        }
    }

    Path path() {
        return path;
    }

    long size() {
        return size;
    }

    /** Fills the buffer from the position on; a file that ends before is an error. */
    void read(long position, ByteBuffer into) {
        long at = position;
        long wanted = position + into.remaining();
        try {
            while (into.hasRemaining()) {
                int count = channel.read(into, at);
                if (count < 0) {
                    throw new WeightsException(path + ": ends before byte " + wanted + " (it had " + size + " bytes when it was opened)");
                }
                at += count;
            }
        } catch (IOException e) {
            throw Messages.unreadable(path, e);
        }
    }

    /** That many bytes at the position as a little-endian buffer of its own; the caller has bounded the length. */
    ByteBuffer bytes(long position, int length) {
        if (position < 0 || position > size - length) {
            throw new WeightsException(path + ": ends at byte " + size + ", expected " + length + " bytes at " + position);
        }
        ByteBuffer buffer = ByteBuffer.allocate(length);
        read(position, buffer);
        return buffer.flip().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** A read-only mapping; the system releases it once the buffer is unreachable. */
    MappedByteBuffer map(long position, long length) {
        if (position < 0 || position > size - length) {
            throw new WeightsException(path + ": ends at byte " + size + ", expected " + length + " bytes at " + position);
        }
        try {
            MappedByteBuffer mapped = channel.map(FileChannel.MapMode.READ_ONLY, position, length);
            mapped.order(ByteOrder.LITTLE_ENDIAN);
            return mapped;
        } catch (IOException e) {
            throw Messages.unreadable(path, e);
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw Messages.unreadable(path, e);
        }
    }

    private static void closeQuietly(FileChannel channel, IOException cause) {
        try {
            channel.close();
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }
}
