package dev.graft.data;

/** A rectangle of pixels; x and y may be negative where a crop reaches into padding. */
record Box(int x, int y, int width, int height) {
    static Box whole(Picture picture) {
        return new Box(0, 0, picture.width(), picture.height());
    }
}
