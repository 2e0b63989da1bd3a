package dev.graft.engine;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Objects;
import java.util.function.Supplier;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;

/**
 * Numbers that the caller owns, as an operand of {@link Kernels} or {@link StreamKernels}: an array, a direct buffer, a JavaCPP
 * pointer, or an address. It holds no memory of its own and keeps what it was made from reachable. Row-major, in elements.
 *
 * <p>Kernels read and write direct buffers, pointers and addresses where they lie. Arrays are copied to direct memory before
 * the kernel and, where it writes, back after it: the Java heap is never pinned while a kernel runs. That memory is kept by the
 * device, as much as the largest calls at one time needed; use direct memory for what is large or often passed.
 *
 * <p>An operand may be longer than a call needs. What a pointer points to is looked up at each call, so one that was closed in
 * between is an error; so is a null address. A raw address that is not the caller's, or a count larger than what lies there,
 * cannot be told and ends as in C; of memory of a GPU the driver tells most of it (see {@link StreamKernels}). Immutable; two calls at the same moment must not write the same memory.
 */
public final class Memory {
    private final DType dtype;
    private final long count;
    // An array, a direct buffer, a pointer, or null for a raw address.
    private final Object owner;
    // Of an array the first element, of a buffer or a raw address the address.
    private final long start;

    private Memory(DType dtype, long count, Object owner, long start) {
        this.dtype = dtype;
        this.count = count;
        this.owner = owner;
        this.start = start;
    }

    /** A whole array of F32. */
    public static Memory of(float[] values) {
        return of(values, 0, values.length);
    }

    /** Elements {@code offset} to {@code offset + length - 1} of an array of F32. */
    public static Memory of(float[] values, int offset, int length) {
        return array(DType.F32, values, values.length, offset, length);
    }

    /** A whole array of I32. */
    public static Memory of(int[] values) {
        return array(DType.I32, values, values.length, 0, values.length);
    }

    /** A whole array of U8. */
    public static Memory of(byte[] values) {
        return array(DType.U8, values, values.length, 0, values.length);
    }

    /**
     * F32 from the buffer's position to its limit, as these are now.
     *
     * @throws IllegalArgumentException where the buffer is not direct or not in native byte order
     */
    public static Memory of(FloatBuffer values) {
        return direct(DType.F32, values, values.order(), () -> new FloatPointer(values.duplicate().clear()));
    }

    /**
     * I32 from the buffer's position to its limit, as these are now.
     *
     * @throws IllegalArgumentException where the buffer is not direct or not in native byte order
     */
    public static Memory of(IntBuffer values) {
        return direct(DType.I32, values, values.order(), () -> new IntPointer(values.duplicate().clear()));
    }

    /**
     * U8 from the buffer's position to its limit, as these are now.
     *
     * @throws IllegalArgumentException where the buffer is not direct
     */
    public static Memory of(ByteBuffer values) {
        return direct(DType.U8, values, ByteOrder.nativeOrder(), () -> new BytePointer(values.duplicate().clear()));
    }

    /**
     * What a pointer points to, from its position to its limit as these are now: F32 of a {@link FloatPointer}, I32 of an
     * {@link IntPointer}, U8 of a {@link BytePointer}. A pointer that came from native code knows no limit: set its capacity.
     *
     * @throws IllegalArgumentException for other kinds of pointers; see {@link #of(Pointer, DType)}
     */
    public static Memory of(Pointer values) {
        Objects.requireNonNull(values, "values");
        if (values instanceof FloatPointer) {
            return of(values, DType.F32);
        } else if (values instanceof IntPointer) {
            return of(values, DType.I32);
        } else if (values instanceof BytePointer) {
            return of(values, DType.U8);
        }
        throw new IllegalArgumentException(
                "a " + values.getClass().getSimpleName() + " does not tell its elements; pass their type beside it");
    }

    /** Elements of the given type from the pointer's position to its limit, as these are now. */
    public static Memory of(Pointer values, DType dtype) {
        Objects.requireNonNull(values, "values");
        long bytes = Math.multiplyExact(values.limit() - values.position(), values.sizeof());
        return new Memory(dtype, bytes / dtype.bytes(), values, 0);
    }

    /** {@code count} F32 at an address: of memory that is readable, and writable where a kernel writes, until the call returns. */
    public static Memory at(long address, long count) {
        return at(address, count, DType.F32);
    }

    /** {@code count} elements at an address: of memory that is readable, and writable where a kernel writes, until the call returns. */
    public static Memory at(long address, long count, DType dtype) {
        if (address <= 0 || count < 0) {
            throw new IllegalArgumentException("an address above 0 and a count of elements are needed, got address " + address
                    + " and count " + count);
        }
        return new Memory(Objects.requireNonNull(dtype, "dtype"), count, null, address);
    }

    private static Memory array(DType dtype, Object values, int size, int offset, int length) {
        Objects.checkFromIndexSize(offset, length, size);
        return new Memory(dtype, length, values, offset);
    }

    /** {@code whole} points to the buffer's first element, whatever its position: JavaCPP adds positions as bytes. */
    private static Memory direct(DType dtype, Buffer values, ByteOrder order, Supplier<Pointer> whole) {
        Direct.require("memory", values, order);
        long address = whole.get().address() + (long) values.position() * dtype.bytes();
        return new Memory(dtype, values.remaining(), values, address);
    }

    /** Type of the elements. */
    public DType dtype() {
        return dtype;
    }

    /** Number of elements. */
    public long count() {
        return count;
    }

    /** Whether it is an array or a buffer: memory of the host for certain. */
    boolean ofJava() {
        return owner != null && !(owner instanceof Pointer);
    }

    /** The array that has to be copied for native code, or null. */
    Object array() {
        return owner instanceof float[] || owner instanceof int[] || owner instanceof byte[] ? owner : null;
    }

    /** The first element of the array. */
    int offset() {
        return (int) start;
    }

    /** Where the first element lies now; 0 where a pointer was closed. Of no meaning for arrays. */
    long address() {
        if (owner instanceof Pointer pointer) {
            return pointer.isNull() ? 0 : pointer.address() + pointer.position() * pointer.sizeof();
        }
        return start;
    }

    @Override
    public String toString() {
        String kind = owner == null ? "an address" : owner.getClass().getSimpleName();
        return "Memory[" + count + " " + dtype + " of " + kind + "]";
    }
}
