// A peer: a training loop by hand in C++ on OpenBLAS, the products and the update of a weight by sgemm, the rest in loops that the
// compiler turns into vectors. Build with: g++ -O3 -march=native -ffast-math -std=c++17 openblas.cpp -lopenblas
//
// Variants: pixels are read as bytes and scaled batch by batch (u8), or scaled once into floats (f32); a weight is kept as
// [out, in] or as [in, out], which decides what sgemm has to pack. The data set must be unpacked (IDX, no gzip).

#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#ifdef SCIPY_OPENBLAS
// The wheel scipy-openblas32 marks every name of the library, so that two copies can live in one process.
#include "openblas_config.h"
#define cblas_sgemm scipy_cblas_sgemm
#define openblas_set_num_threads scipy_openblas_set_num_threads
#define openblas_get_config scipy_openblas_get_config
#define openblas_get_corename scipy_openblas_get_corename
#endif
#include <cblas.h>

using Clock = std::chrono::steady_clock;

[[noreturn]] static void fail(const std::string& message) {
    std::fprintf(stderr, "openblas: %s\n", message.c_str());
    std::exit(1);
}

// ------------------------------------------------------------------------------------------------- what flatnet exported

static std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail(path + ": cannot read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The number after `key` in a JSON text that flatnet wrote; enough JSON for two of its files.
static double number_after(const std::string& text, const std::string& key, size_t from = 0) {
    size_t at = text.find(key, from);
    if (at == std::string::npos) fail("no " + key + " in the exported run");
    return std::strtod(text.c_str() + at + key.size(), nullptr);
}

// Whether a JSON text has `"name":"value"`, with any spaces.
static bool has_setting(std::string text, const std::string& setting) {
    text.erase(std::remove_if(text.begin(), text.end(), [](unsigned char c) { return std::isspace(c); }), text.end());
    return text.find(setting) != std::string::npos;
}

struct Linear {
    int in, out;
    bool natural;  // w is [in, out]; otherwise [out, in]
    std::vector<float> w, b;
};

static std::vector<Linear> read_layers(const std::string& path, bool natural) {
    std::string file = read_file(path);
    uint64_t length;
    std::memcpy(&length, file.data(), 8);
    std::string header = file.substr(8, length);
    auto values = [&](size_t at) {
        size_t offsets = header.find("\"data_offsets\":[", at) + 16;
        char* comma;
        size_t start = std::strtoull(header.c_str() + offsets, &comma, 10);
        size_t end = std::strtoull(comma + 1, nullptr, 10);
        std::vector<float> result((end - start) / 4);
        std::memcpy(result.data(), file.data() + 8 + length + start, end - start);
        return result;
    };
    std::vector<Linear> layers;
    // A ReLU stands between two linear layers, so every other index has tensors.
    for (int index = 0;; index += 2) {
        size_t weight = header.find("\"" + std::to_string(index) + ".weight\":");
        size_t bias = header.find("\"" + std::to_string(index) + ".bias\":");
        if (weight == std::string::npos || bias == std::string::npos) break;
        Linear layer;
        layer.w = values(weight);
        layer.b = values(bias);
        layer.out = layer.b.size();
        layer.in = layer.w.size() / layer.out;
        layer.natural = natural;
        if (natural) {
            std::vector<float> turned(layer.w.size());
            for (int o = 0; o < layer.out; o++)
                for (int i = 0; i < layer.in; i++) turned[i * layer.out + o] = layer.w[o * layer.in + i];
            layer.w = turned;
        }
        layers.push_back(layer);
    }
    if (layers.empty()) fail(path + ": no linear layers");
    return layers;
}

struct Samples {
    std::vector<uint8_t> pixels;  // [count, features]
    std::vector<float> scaled;    // the same as x / 255, if asked for
    std::vector<int> labels;
    int count() const { return labels.size(); }
};

static Samples read_samples(const std::string& data, const std::string& run, const std::string& phase, int features) {
    std::string prefix = data + (phase == "train" ? "/train" : "/t10k");
    std::string images = read_file(prefix + "-images-idx3-ubyte"), labels = read_file(prefix + "-labels-idx1-ubyte");
    std::ifstream rows(run + "/sample.csv");
    std::string line;
    Samples samples;
    while (std::getline(rows, line)) {
        if (line.compare(0, phase.size() + 1, phase + ",") != 0) continue;
        size_t row = std::strtoull(line.c_str() + line.rfind(',') + 1, nullptr, 10);
        if (16 + (row + 1) * features > images.size()) fail(run + "/sample.csv: a row that the data set lacks");
        samples.pixels.insert(samples.pixels.end(), images.begin() + 16 + row * features, images.begin() + 16 + (row + 1) * features);
        samples.labels.push_back(static_cast<uint8_t>(labels[8 + row]));
    }
    if (samples.labels.empty()) fail(run + "/sample.csv: no rows of phase " + phase);
    return samples;
}

// ------------------------------------------------------------------------------------------------------------ the network

static void scale(const uint8_t* pixels, float* x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = pixels[i] * (1.0f / 255.0f);
}

// z: [m, out], overwritten with x w + b; x: [m, in].
static void forward(const Linear& layer, const float* x, int m, float* z) {
    for (int row = 0; row < m; row++) std::copy(layer.b.begin(), layer.b.end(), z + row * layer.out);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, layer.natural ? CblasNoTrans : CblasTrans, m, layer.out, layer.in, 1.0f, x, layer.in,
                layer.w.data(), layer.natural ? layer.out : layer.in, 1.0f, z, layer.out);
}

// w += rate x^T dz and b += rate sum(dz), in one product each; no gradient is stored.
static void descend(Linear& layer, const float* x, const float* dz, int m, float rate) {
    if (layer.natural)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, layer.in, layer.out, m, rate, x, layer.in, dz, layer.out, 1.0f,
                    layer.w.data(), layer.out);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, layer.out, layer.in, m, rate, dz, layer.out, x, layer.in, 1.0f,
                    layer.w.data(), layer.in);
    for (int row = 0; row < m; row++)
        for (int o = 0; o < layer.out; o++) layer.b[o] += rate * dz[row * layer.out + o];
}

static void relu(float* z, size_t count) {
    for (size_t i = 0; i < count; i++) z[i] = std::max(z[i], 0.0f);
}

// Turns logits z: [m, 10] into probabilities minus targets. Returns the sum of losses, counts rows whose largest logit is their label's.
template <bool count_correct>
static float softmax(float* z, const int* labels, int m, int* correct) {
    constexpr int classes = 10;
    float loss = 0;
    for (int row = 0; row < m; row++, z += classes) {
        if (count_correct) *correct += std::max_element(z, z + classes) - z == labels[row];
        float largest = z[0], of_label = z[labels[row]], sum = 0;
        for (int o = 1; o < classes; o++) largest = std::max(largest, z[o]);
        for (int o = 0; o < classes; o++) z[o] = std::exp(z[o] - largest);
        for (int o = 0; o < classes; o++) sum += z[o];
        loss += std::log(sum) - (of_label - largest);
        for (int o = 0; o < classes; o++) z[o] *= 1 / sum;
        z[labels[row]] -= 1;
    }
    return loss;
}

// What a step needs: outputs z of each layer, after its ReLU, and gradients dz with respect to the outputs of hidden ones.
struct Scratch {
    std::vector<float> x;
    std::vector<std::vector<float>> z, dz;
    Scratch(const std::vector<Linear>& layers, int batch_size) : x(size_t(batch_size) * layers[0].in) {
        for (const Linear& layer : layers) z.emplace_back(size_t(batch_size) * layer.out);
        dz = z;
    }
};

// Outputs of 784-10-relu, or of any number of hidden layers with a ReLU behind each. Returns them: [m, 10].
static float* network(const std::vector<Linear>& layers, const float* x, int m, Scratch& scratch) {
    for (size_t index = 0; index < layers.size(); index++) {
        float* z = scratch.z[index].data();
        forward(layers[index], x, m, z);
        if (index + 1 < layers.size() || index == 0) relu(z, size_t(m) * layers[index].out);
        x = z;
    }
    return scratch.z.back().data();
}

// dx: [m, in], overwritten with dz w^T where x, the ReLU's output, is not zero, and with 0 elsewhere.
static void backward(const Linear& layer, const float* x, const float* dz, int m, float* dx) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, layer.natural ? CblasTrans : CblasNoTrans, m, layer.in, layer.out, 1.0f, dz, layer.out,
                layer.w.data(), layer.natural ? layer.out : layer.in, 0.0f, dx, layer.in);
    for (int i = 0; i < m * layer.in; i++) dx[i] = x[i] > 0 ? dx[i] : 0;
}

static float step(std::vector<Linear>& layers, const float* x, const int* labels, int m, float lr, Scratch& scratch) {
    float* dz = network(layers, x, m, scratch);
    float loss = softmax<false>(dz, labels, m, nullptr) / m;
    // Straight-through where the ReLU stands last: the gradient passes it unchanged.
    for (size_t index = layers.size() - 1; index > 0; index--) {
        const float* input = scratch.z[index - 1].data();
        float* dx = scratch.dz[index - 1].data();
        backward(layers[index], input, dz, m, dx);
        descend(layers[index], input, dz, m, -lr / m);
        dz = dx;
    }
    descend(layers[0], x, dz, m, -lr / m);
    return loss;
}

struct Figures {
    double loss, accuracy;
};

static Figures evaluate(const std::vector<Linear>& layers, const Samples& samples, int batch_size, Scratch& scratch) {
    int features = layers[0].in, correct = 0;
    double losses = 0;
    for (int start = 0; start < samples.count(); start += batch_size) {
        int m = std::min(batch_size, samples.count() - start);
        scale(&samples.pixels[size_t(start) * features], scratch.x.data(), size_t(m) * features);
        losses += softmax<true>(network(layers, scratch.x.data(), m, scratch), &samples.labels[start], m, &correct);
    }
    return {losses / samples.count(), double(correct) / samples.count()};
}

int main(int argc, char** argv) {
    auto started = Clock::now();
    std::string run, data, variant = "[out, in], u8";
    int epochs = 5, threads = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string flag = argv[i], value = argv[i + 1];
        if (flag == "--run") run = value;
        else if (flag == "--data") data = value;
        else if (flag == "--variant") variant = value;
        else if (flag == "--epochs") epochs = std::atoi(value.c_str());
        else if (flag == "--threads") threads = std::atoi(value.c_str());
        else fail("unknown flag " + flag);
    }
    bool natural = variant.rfind("[in, out]", 0) == 0, floats = variant.size() > 3 && variant.substr(variant.size() - 3) == "f32";
    if (run.empty() || data.empty() || epochs < 2 || threads < 1) fail("expected --run DIR --data DIR [--epochs N] [--threads N] [--variant V]");
    openblas_set_num_threads(threads);

    std::string recipe = read_file(run + "/summary.json");
    float lr = number_after(recipe, "\"lr\":");
    int batch_size = number_after(recipe, "\"batch_size\":");
    std::vector<Linear> layers = read_layers(run + "/model.safetensors", natural);
    const char* gradient = layers.size() == 1 ? "straight-through" : "exact";
    for (std::string setting : {std::string("\"optimizer\":\"sgd\""), "\"relu_grad\":\"" + std::string(gradient) + "\""})
        if (!has_setting(recipe, setting)) fail(run + ": expected a recipe with " + setting);
    if (layers.back().out != 10) fail(run + ": expected 10 classes");
    int features = layers[0].in;
    Samples train = read_samples(data, run, "train", features);
    if (floats) {
        train.scaled.resize(train.pixels.size());
        scale(train.pixels.data(), train.scaled.data(), train.pixels.size());
    }
    Scratch scratch(layers, batch_size);

    std::vector<double> seconds;
    double epoch_loss = 0;
    int batches = (train.count() + batch_size - 1) / batch_size;
    for (int epoch = 0; epoch < epochs; epoch++) {
        auto before = Clock::now();
        double losses = 0;
        for (int start = 0; start < train.count(); start += batch_size) {
            int m = std::min(batch_size, train.count() - start);
            size_t at = size_t(start) * features;
            if (!floats) scale(&train.pixels[at], scratch.x.data(), size_t(m) * features);
            losses += step(layers, floats ? &train.scaled[at] : scratch.x.data(), &train.labels[start], m, lr, scratch);
        }
        seconds.push_back(std::chrono::duration<double>(Clock::now() - before).count());
        epoch_loss = losses / batches;
    }
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double total = std::chrono::duration<double>(Clock::now() - started).count();
    // The first epoch warms up.
    std::sort(seconds.begin() + 1, seconds.end());
    double median = (seconds[1 + (epochs - 2) / 2] + seconds[1 + (epochs - 1) / 2]) / 2;

    Figures on_train = evaluate(layers, train, batch_size, scratch);
    Figures on_val = evaluate(layers, read_samples(data, run, "val", features), batch_size, scratch);
    std::string config = openblas_get_config();
    std::string version = config.substr(0, config.find(' ', config.find(' ') + 1));
    std::printf("{\"library\": \"C++ on OpenBLAS\", \"version\": \"%s, %s kernels\", \"variant\": \"%s\", \"threads\": %d, \"epochs\": %d, "
                "\"us_per_batch\": %.2f, \"seconds\": %.3f, \"epoch_loss\": %.9g, \"train_loss\": %.9g, \"train_accuracy\": %.6f, "
                "\"val_loss\": %.9g, \"val_accuracy\": %.6f, \"peak_memory_mib\": %.1f}\n",
                version.c_str(), openblas_get_corename(), variant.c_str(), threads, epochs, 1e6 * median / batches, total, epoch_loss,
                on_train.loss, on_train.accuracy, on_val.loss, on_val.accuracy, usage.ru_maxrss / 1024.0);
}
