// The models, as gonlib/book/live.py exports them: weights in half precision, arithmetic in single precision.

/** The numbers of {shape, scale, data}: base64 of little-endian half-precision floats, times the scale. */
function unpack({ scale, data }) {
  const bytes = atob(data), values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) {
    values[i] = scale * half(bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1));
  }
  return values;
}

const UNITS = Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25)); // of the last binary place

/** A half-precision number from its 16 bits. */
function half(bits) {
  const exponent = (bits >> 10) & 0x1f, size = ((exponent ? 1024 : 0) + (bits & 0x3ff)) * UNITS[exponent];
  return bits & 0x8000 ? -size : size;
}

const ACTIVATIONS = {
  identity: (x) => x,
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  relu: (x) => Math.max(x, 0),
  leaky_relu: (x) => (x > 0 ? x : 0.01 * x),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

/** The encoder of a GON, z = M x + b. */
class MatrixEncoder {
  constructor({ matrix, offset }) {
    this.matrix = unpack(matrix);
    this.offset = unpack(offset);
    this.latents = this.offset.length;
  }

  encode(x) {
    const z = Float32Array.from(this.offset);
    for (let i = 0; i < z.length; i++) {
      let sum = 0;
      for (let j = 0; j < x.length; j++) sum += this.matrix[i * x.length + j] * x[j];
      z[i] += sum;
    }
    return z;
  }
}

/** A convolutional GON: the encoder is a matrix, the decoder a chain of transposed convolutions. */
class ConvGon extends MatrixEncoder {
  constructor({ encoder, side, layers }) {
    super(encoder);
    this.side = side; // of the latent: 1, or more where latents are laid out in space
    this.layers = layers.map((layer) => ({ ...layer, weight: unpack(layer.weight), bias: unpack(layer.bias) }));
    this.origin = this.decode(new Float32Array(this.latents)); // F(0), the same for every image
  }

  /** F(z), channel by channel and row by row. */
  decode(z) {
    let x = z, side = this.side;
    for (const layer of this.layers) [x, side] = transposedConvolution(layer, x, side);
    return x;
  }
}

/** One layer with its activation: [outputs, their side]. */
function transposedConvolution({ weight, bias, stride, padding, kernel, activation }, x, side) {
  const wide = (side - 1) * stride - 2 * padding + kernel, channels = bias.length;
  const out = new Float32Array(channels * wide * wide);
  for (let c = 0; c < channels; c++) out.fill(bias[c], c * wide * wide, (c + 1) * wide * wide);
  for (let i = 0, at = 0; i < x.length / (side * side); i++) {
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++, at++) {
        const top = row * stride - padding, left = column * stride - padding;
        for (let c = 0; c < channels; c++) {
          const taps = (i * channels + c) * kernel * kernel;
          for (let a = Math.max(0, -top); a < kernel && top + a < wide; a++) {
            const line = (c * wide + top + a) * wide + left;
            for (let b = Math.max(0, -left); b < kernel && left + b < wide; b++) {
              out[line + b] += x[at] * weight[taps + a * kernel + b];
            }
          }
        }
      }
    }
  }
  return [out.map(ACTIVATIONS[activation]), wide];
}

/** An implicit GON: the encoder is a matrix, the decoder F(c, z) a SIREN over coordinates (row, column) in [-1, 1]. */
class Siren extends MatrixEncoder {
  constructor({ encoder, omega, layers }) {
    super(encoder);
    this.omega = omega;
    this.layers = layers.map(({ weight, bias }) => ({ weight: unpack(weight), bias: unpack(bias) }));
    this.weights = this.layers.reduce((sum, { weight }) => sum + weight.length, 0);
    this.values = this.layers.map(({ bias }) => new Float32Array(bias.length)); // of each layer, at one point
    this.channels = this.values[this.values.length - 1].length;
  }

  /** The side of a picture that takes about so many multiplications, between two limits. */
  sideFor(work, least, most) {
    return Math.round(Math.min(most, Math.max(least, Math.sqrt(work / this.weights))));
  }

  /** Choose the image: the latent's share of the first layer is the same at all coordinates. */
  set latent(z) {
    const { weight, bias } = this.layers[0], inputs = z.length + 2;
    this.start = bias.map((b, j) => z.reduce((sum, value, i) => sum + weight[j * inputs + 2 + i] * value, b));
    this.rowWeights = bias.map((_, j) => weight[j * inputs]);
    this.columnWeights = bias.map((_, j) => weight[j * inputs + 1]);
  }

  /** The values of all channels at one point; the array is overwritten by the next call. */
  at(row, column) {
    let x = this.values[0];
    for (let j = 0; j < x.length; j++) {
      x[j] = Math.sin(this.omega * (this.start[j] + row * this.rowWeights[j] + column * this.columnWeights[j]));
    }
    for (let l = 1; l < this.layers.length; l++) {
      const { weight, bias } = this.layers[l], last = l === this.layers.length - 1, y = this.values[l];
      for (let j = 0, w = 0; j < y.length; j++) {
        let sum = bias[j];
        for (let i = 0; i < x.length; i++, w++) sum += weight[w] * x[i];
        y[j] = last ? sum : Math.sin(this.omega * sum);
      }
      x = y;
    }
    return x;
  }
}
