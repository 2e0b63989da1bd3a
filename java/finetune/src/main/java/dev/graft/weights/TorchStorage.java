package dev.graft.weights;

/**
 * A storage, or a view of one, that a pickle refers to.
 *
 * @param key      its key: the record's name in a zip, an identifier in the old format
 * @param dtype    element type; U8 for an untyped storage
 * @param whole    number of elements of the whole storage
 * @param elements number of elements of the view
 * @param first    element of the whole storage at which this view of it begins; 0 but for views in the old format
 */
record TorchStorage(String key, Dtype dtype, long whole, long elements, long first) {
}
