package dev.graft.data;

/**
 * The frame header of a JPEG file and the markers that decide how its components become colours.
 *
 * @param components 1 grey, 3 colour, 4 CMYK or YCCK
 * @param luminance whether 3 components are YCbCr (false: RGB), or 4 components YCCK (false: CMYK), by libjpeg's rules
 * @param scans number of scans; more than one in progressive files
 * @param complete whether an end-of-image marker follows the last scan
 * @param codes the file without its application segments and comments, and with an end marker: what the decoder is
 *     given, so that embedded profiles, thumbnails and metadata cannot change or disturb the decoding
 */
record JpegHeader(int width, int height, int components, boolean luminance, int orientation, int scans, boolean complete,
                  byte[] codes) {
    Header summary() {
        return new Header(Header.Format.JPEG, width, height, orientation);
    }

    /** @param file starts with SOI */
    static JpegHeader read(byte[] file) throws Malformed {
        return new JpegSegments(file).walk();
    }
}
