package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

/** Who closes whom, and what is said afterwards. */
class LifecycleTest {
    @Test
    void parentsCloseChildren() {
        Device device = Device.open("reference", 1, 1);
        Parameters parameters = Mlp.parameters(device, Mlp.graph());
        Plan plan = Mlp.plan(parameters, Mlp.graph(), Mlp.sgd(4, Mlp.ALL).build());
        Session session = plan.session();
        Workspace workspace = device.workspace();
        device.close();
        assertClosed("session is closed", session::forward);
        assertClosed("session is closed", plan::step);
        assertTrue(assertThrows(IllegalStateException.class, plan::describe).getMessage().startsWith("plan of Graph["));
        assertClosed("parameters is closed", () -> parameters.read("fc1.bias"));
        assertClosed("workspace is closed", () -> plan.session(workspace));
        assertClosed("device reference is closed", device::parameters);
        for (AutoCloseable again : List.of(session, plan, workspace, parameters, device)) {
            assertDoesNotThrow(again::close);
        }
    }

    private static void assertClosed(String message, Runnable call) {
        IllegalStateException e = assertThrows(IllegalStateException.class, call::run);
        assertTrue(e.getMessage().equals(message) || e.getMessage().endsWith("is closed"), e.getMessage());
    }

    @Test
    void anyOrderOfClosingIsSafe() {
        for (int order = 0; order < 4; order++) {
            Device device = Device.open("reference", 1, 1);
            Parameters parameters = Mlp.parameters(device, Mlp.graph());
            Workspace workspace = device.workspace();
            Plan plan = Plan.compile(Mlp.graph(), parameters, Mlp.sgd(4, Mlp.ALL).build(), workspace);
            Session session = plan.session(workspace);
            if (order == 0) {
                workspace.close();
                Mlp.feed(session, 4);
                session.step();
                plan.close();
            } else if (order == 1) {
                parameters.close();
                workspace.close();
            } else if (order == 2) {
                session.close();
                Mlp.feed(plan, 4);
                plan.step();
            }
            device.close();
        }
    }

    @Test
    void busyHandlesRefuseSecondCallersAndClosing() {
        boolean[] freed = new boolean[1];
        Handle parent = new Handle("parent", null, () -> { });
        Handle child = new Handle("child", parent, () -> freed[0] = true);
        child.enterAlone();
        assertThrows(IllegalStateException.class, child::enterAlone);
        IllegalStateException e = assertThrows(IllegalStateException.class, parent::close);
        assertEquals("child cannot be closed while a call is running", e.getMessage());
        child.exit();
        child.enter();
        child.enter();
        child.exit();
        assertThrows(IllegalStateException.class, child::close);
        child.exit();
        parent.close();
        parent.close();
        assertTrue(freed[0]);
        assertEquals("child is closed", assertThrows(IllegalStateException.class, child::enter).getMessage());
    }

    @Test
    void lostHandlesAreReportedAndFreed() throws InterruptedException {
        List<String> log = new CopyOnWriteArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord record) {
                log.add(java.text.MessageFormat.format(record.getMessage(), record.getParameters()));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger logger = Logger.getLogger("dev.graft.engine");
        logger.addHandler(handler);
        logger.setUseParentHandlers(false);
        try {
            boolean[] freed = new boolean[1];
            lose(freed);
            for (int i = 0; i < 100 && log.isEmpty(); i++) {
                System.gc();
                Thread.sleep(20);
            }
            assertEquals(List.of("lost thing was lost without close(); its memory is freed now"), log);
            assertTrue(freed[0]);
        } finally {
            logger.removeHandler(handler);
            logger.setUseParentHandlers(true);
        }
    }

    private static void lose(boolean[] freed) {
        new Handle("lost thing", null, () -> freed[0] = true);
    }

    @Test
    void unknownColumnsAreUnavailable() {
        UnavailableException e = assertThrows(UnavailableException.class, () -> Device.open("quantum", 1, 1));
        assertTrue(e.getMessage().contains("quantum") && e.getMessage().contains("cpu"), e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> Device.open("cpu", 0, 1));
    }

    @Test
    void buildsOfDifferentVersionsRefuseEachOther() {
        assertEquals("natives of build 1, jar of build 2: use graft-engine and graft-native of one build",
                Natives.mismatch("1", "2"));
        assertEquals(null, Natives.mismatch("1", "1"));
    }
}
