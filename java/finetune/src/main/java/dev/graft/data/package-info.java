/**
 * Pictures from folders and zip files to batches of normalised NHWC floats: decoding, resizing, augmentation, splits and
 * the prefetching loader. What comes out equals what Pillow and torchvision produce from the same files; what is random
 * is a pure function of (seed, sample id, visit).
 */
package dev.graft.data;
