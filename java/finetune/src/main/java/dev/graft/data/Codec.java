package dev.graft.data;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.Iterator;
import java.util.Locale;
import javax.imageio.ImageReader;
import javax.imageio.spi.IIORegistry;
import javax.imageio.spi.ImageReaderSpi;
import javax.imageio.stream.MemoryCacheImageInputStream;

/** The JDK's own reader of a format, whatever other plug-ins are on the class path: the same file gives the same pixels. */
enum Codec {
    JPEG, PNG, BMP;

    private ImageReaderSpi provider;

    /** A reader positioned on the file's first picture, metadata ignored. To be disposed of by the caller. */
    ImageReader open(byte[] file) throws IOException {
        ImageReader reader = provider().createReaderInstance();
        reader.setInput(new MemoryCacheImageInputStream(new ByteArrayInputStream(file)), true, true);
        return reader;
    }

    private synchronized ImageReaderSpi provider() {
        if (provider == null) {
            String jdk = "com.sun.imageio.plugins." + name().toLowerCase(Locale.ROOT) + ".";
            Iterator<ImageReaderSpi> all =
                    IIORegistry.getDefaultInstance().getServiceProviders(ImageReaderSpi.class, false);
            while (all.hasNext() && provider == null) {
                ImageReaderSpi candidate = all.next();
                provider = candidate.getPluginClassName().startsWith(jdk) ? candidate : null;
            }
            if (provider == null) {
                throw new IllegalStateException("this Java runtime has no " + name() + " reader (module java.desktop)");
            }
        }
        return provider;
    }
}
