package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuotaTest {
    @TempDir
    Path root;

    @Test
    void withoutLimitsAllProcessorsCount() throws IOException {
        assertEquals(8, Quota.threads(8, root));
        Files.writeString(root.resolve("cpu.max"), "max 100000\n");
        assertEquals(8, Quota.threads(8, root));
    }

    @Test
    void version2LimitsToWholeProcessors() throws IOException {
        Files.writeString(root.resolve("cpu.max"), "350000 100000\n");
        assertEquals(3, Quota.threads(8, root));
        assertEquals(2, Quota.threads(2, root));
    }

    @Test
    void lessThanOneProcessorIsOneThread() throws IOException {
        Files.writeString(root.resolve("cpu.max"), "50000 100000\n");
        assertEquals(1, Quota.threads(8, root));
    }

    @Test
    void version1LimitsToo() throws IOException {
        Path cpu = Files.createDirectory(root.resolve("cpu"));
        Files.writeString(cpu.resolve("cpu.cfs_period_us"), "100000\n");
        Files.writeString(cpu.resolve("cpu.cfs_quota_us"), "-1\n");
        assertEquals(8, Quota.threads(8, root));
        Files.writeString(cpu.resolve("cpu.cfs_quota_us"), "200000\n");
        assertEquals(2, Quota.threads(8, root));
    }
}
