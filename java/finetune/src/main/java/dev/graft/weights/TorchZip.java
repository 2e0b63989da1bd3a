package dev.graft.weights;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/**
 * PyTorch's zip format (the default since 1.6): a record {@code data.pkl} with the pickle and one uncompressed record
 * {@code data/KEY} per storage, all in one folder.
 */
final class TorchZip {
    private static final String PICKLE = "/data.pkl";

    private TorchZip() {
    }

    static FileContents read(FileBytes file) {
        Path path = file.path();
        ZipDirectory zip = ZipDirectory.read(file);
        List<String> pickles = zip.names().stream().filter(n -> n.endsWith(PICKLE) && n.indexOf('/') == n.length() - PICKLE.length())
                .toList();
        if (pickles.size() != 1) {
            throw new WeightsException(path + ": a zip archive with " + pickles.size()
                    + " records data.pkl, expected the one of a PyTorch checkpoint");
        }
        String folder = pickles.get(0).substring(0, pickles.get(0).length() - PICKLE.length() + 1);
        if (zip.names().contains(folder + "constants.pkl")) {
            throw new WeightsException(path + ": a TorchScript program, not a state dict; save model.state_dict() instead");
        }
        requireLittleEndian(file, zip, folder + "byteorder");
        ZipDirectory.Entry pickle = zip.entry(pickles.get(0));
        long begin = zip.begin(pickle);
        PickleInput in = new PickleInput(file, begin, begin + pickle.size());
        Object root = Unpickler.load(in, new TorchObjects());
        return TorchCheckpoint.contents(path, "PyTorch (zip)", root, storage -> {
            String name = folder + "data/" + storage.key();
            if (!zip.names().contains(name)) {
                throw new WeightsException(path + ": no record " + Messages.quoted(name) + " for a storage");
            }
            ZipDirectory.Entry record = zip.entry(name);
            if (storage.whole() > record.size() / storage.dtype().bytes()) {
                throw new WeightsException(path + ": record " + Messages.quoted(name) + " has " + record.size() + " bytes, its storage "
                        + storage.whole() + " elements of " + storage.dtype());
            }
            return zip.begin(record);
        });
    }

    private static void requireLittleEndian(FileBytes file, ZipDirectory zip, String name) {
        if (zip.names().contains(name)) {
            ZipDirectory.Entry entry = zip.entry(name);
            int length = (int) Math.min(entry.size(), 16);
            String order = new String(file.bytes(zip.begin(entry), length).array(), StandardCharsets.ISO_8859_1);
            if (!order.equals("little")) {
                throw new WeightsException(file.path() + ": byte order " + Messages.quoted(order)
                        + ", expected little; load and save it once on a little-endian machine");
            }
        }
    }
}
