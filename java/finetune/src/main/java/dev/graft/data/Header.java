package dev.graft.data;

/**
 * What a picture file says about itself before its pixels.
 *
 * @param orientation the EXIF orientation, 1 (upright) where there is none
 */
record Header(Format format, int width, int height, int orientation) {
    enum Format { JPEG, PNG, BMP }

    /** Reads the header and checks the file's structure (markers, chunks, lengths), not its pixels. */
    static Header read(byte[] file, String name, Limits limits) {
        Header header;
        try {
            header = switch (format(file, name)) {
                case JPEG -> JpegHeader.read(file).summary();
                case PNG -> PngHeader.read(file);
                case BMP -> BmpHeader.read(file);
            };
        } catch (Malformed damage) {
            throw new UnreadablePicture(name, damage.getMessage());
        }
        if (header.width <= 0 || header.height <= 0) {
            throw new UnreadablePicture(name, "has no pixels (" + header.width + "x" + header.height + ")");
        }
        long pixels = (long) header.width * header.height;
        if (pixels > limits.pixels()) {
            throw new UnreadablePicture(name, header.width + "x" + header.height + " is " + pixels
                    + " pixels, the limit is " + limits.pixels());
        }
        return header;
    }

    private static Format format(byte[] file, String name) throws Malformed {
        if (file.length == 0) {
            throw new Malformed("is empty");
        }
        if (Bytes.startsWith(file, 0xFF, 0xD8, 0xFF)) {
            return Format.JPEG;
        }
        if (Bytes.startsWith(file, 0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A)) {
            return Format.PNG;
        }
        if (Bytes.startsWith(file, 'B', 'M')) {
            return Format.BMP;
        }
        throw new Malformed("is no JPEG, PNG or BMP picture");
    }
}
