package dev.graft.weights;

import java.math.BigInteger;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * PyTorch's format before 1.6: pickles of a magic number, the protocol, facts about the machine, the object and the list of
 * storage keys; then for each key the number of elements (8 bytes) and the elements.
 */
final class TorchLegacy {
    private static final BigInteger MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);
    private static final Long PROTOCOL = 1001L;

    private TorchLegacy() {
    }

    static FileContents read(FileBytes file) {
        Path path = file.path();
        PickleInput in = new PickleInput(file, 0, file.size());
        TorchObjects objects = new TorchObjects();
        if (!MAGIC.equals(Unpickler.load(in, objects))) {
            throw new WeightsException(path + ": a pickle, but none of torch.save (it does not begin with the magic number)");
        }
        Object protocol = Unpickler.load(in, objects);
        if (!PROTOCOL.equals(protocol)) {
            throw new WeightsException(path + ": protocol " + PickleText.describe(protocol) + " of torch.save, expected " + PROTOCOL);
        }
        if (!(Unpickler.load(in, objects) instanceof PickleDict machine)
                || !Boolean.TRUE.equals(machine.entries.get("little_endian"))) {
            throw new WeightsException(path + ": not written on a little-endian machine; load and save it once on such a machine");
        }
        Object root = Unpickler.load(in, objects);
        Map<String, Long> places = places(file, in, objects);
        return TorchCheckpoint.contents(path, "PyTorch (old format)", root, storage -> places.get(storage.key()));
    }

    /** Byte at which each storage begins, in the order of the key list that follows the object. */
    private static Map<String, Long> places(FileBytes file, PickleInput in, TorchObjects objects) {
        Path path = file.path();
        if (!(Unpickler.load(in, objects) instanceof List<?> keys)) {
            throw new WeightsException(path + ": no list of storages after the object");
        }
        Map<String, Long> places = new HashMap<>();
        long position = in.position();
        for (Object key : keys) {
            TorchStorage storage = key instanceof String ? objects.storages().get(key) : null;
            if (storage == null) {
                throw new WeightsException(path + ": storage " + PickleText.describe(key) + " is listed but belongs to no tensor");
            }
            long elements = position > file.size() - 8 ? -1 : file.bytes(position, 8).order(ByteOrder.LITTLE_ENDIAN).getLong();
            position += 8;
            if (elements < 0 || elements > (file.size() - position) / storage.dtype().bytes()) {
                throw new WeightsException(path + ": truncated: storage " + Messages.quoted(storage.key()) + " at byte " + position
                        + " does not fit into the file of " + file.size());
            }
            if (elements != storage.whole()) {
                throw new WeightsException(path + ": storage " + Messages.quoted(storage.key()) + " has " + elements
                        + " elements, its description " + storage.whole());
            }
            places.put(storage.key(), position);
            position += elements * storage.dtype().bytes();
        }
        for (String key : objects.storages().keySet()) {
            if (!places.containsKey(key)) {
                throw new WeightsException(path + ": truncated: storage " + Messages.quoted(key) + " has no data");
            }
        }
        return places;
    }
}
