package dev.graft.data;

/**
 * A decoded picture.
 *
 * @param width pixels
 * @param height pixels
 * @param rgb {@code height * width * 3} bytes, rows from the top, red green blue per pixel; not copied, not to be changed
 */
public record Picture(int width, int height, byte[] rgb) {
    /** Checks the length of the bytes. */
    public Picture {
        if (width <= 0 || height <= 0 || rgb.length != 3L * width * height) {
            throw new IllegalArgumentException(
                    "picture of " + width + "x" + height + " needs 3 bytes a pixel, got " + rgb.length + " bytes");
        }
    }

    @Override
    public String toString() {
        return "Picture " + width + "x" + height;
    }
}
