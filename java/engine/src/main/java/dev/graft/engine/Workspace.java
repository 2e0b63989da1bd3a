package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_workspace;

/**
 * Memory that plans run in. It grows to the largest plan bound to it, so plans that never run at the same time (training,
 * evaluation, another batch size) share one; what one of them computed is gone once another has run. Sessions of one
 * workspace wait for each other.
 *
 * <p>Owned by the device; sessions keep it alive. Safe for any number of threads.
 */
public final class Workspace implements AutoCloseable {
    final graft_workspace pointer = new graft_workspace(null);
    final Handle handle;

    Workspace(Device device) {
        device.handle.enter();
        try {
            Status.check(Graft.graft_workspace_create(device.pointer, pointer));
            graft_workspace freed = pointer;
            handle = new Handle("workspace", device.handle, () -> Graft.graft_workspace_close(freed));
        } finally {
            device.handle.exit();
        }
    }

    /** Closes the workspace; its memory goes when the last session that uses it is closed. */
    @Override
    public void close() {
        handle.close();
    }
}
