// Usage: java Client.java PORT CA 1.2|1.3
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

class Client {
    public static void main(String[] args) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        var pem = new FileInputStream(args[1]);
        store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        var trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        long first = 0;
        for (var resumed : new boolean[] {false, true}) {
            var begun = System.currentTimeMillis();
            var stream = (SSLSocket) context.getSocketFactory().createSocket("localhost", Integer.parseInt(args[0]));
            stream.setSoTimeout(10_000);
            var parameters = stream.getSSLParameters();
            parameters.setProtocols(new String[] {"TLSv" + args[2]});
            parameters.setEndpointIdentificationAlgorithm("HTTPS"); // this checks the name
            stream.setSSLParameters(parameters);
            for (byte turn = 0; turn < 10; turn++) {
                var sent = new byte[10_000];
                Arrays.fill(sent, turn);
                stream.getOutputStream().write(sent);
                if (!Arrays.equals(stream.getInputStream().readNBytes(sent.length), sent))
                    throw new Exception("the echo differs");
            }
            // A resumed session has the creation time of the first one.
            var made = stream.getSession().getCreationTime();
            if (resumed != (made == first && made <= begun)) throw new Exception("resumed: " + !resumed);
            first = made;
            stream.shutdownOutput();
            if (stream.getInputStream().read() != -1) throw new Exception("more than was sent");
            stream.close();
        }
    }
}
