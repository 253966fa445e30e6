% Features of a deep network in MATLAB or Octave
% ===============================================
%
% Reads a .mat file that skdnn has written, in Python with
%
%     from skdnn import save_features
%     save_features(features, "features.mat", labels=names)
%
% or in a shell with
%
%     skdnn extract --model alexnet --layer features.10 --images ./images --out features.mat
%
% To use it, set `file` (and `layer`, if the file holds several) and run this script:
%
%     file = 'features.mat';
%     read_features
%
% MATLAB reads both kinds of .mat files: version 5, and version 7.3, which skdnn takes from 2 GB
% on. Octave reads version 5: save with format="mat-v5", in parts if need be (n_parts=).
%
% Lines that begin with % are comments. A semicolon at the end of a line keeps MATLAB quiet.

if ~exist('file', 'var')
    file = 'features.mat';
end

% --- Can it be read here? -----------------------------------------------------------------------

handle = fopen(file, 'r');
if handle < 0
    error('There is no file %s: set the variable `file`, or change the folder.', file);
end
first_words = fread(handle, [1, 19], '*char');
fclose(handle);
is_octave = exist('OCTAVE_VERSION', 'builtin') ~= 0;
if is_octave && strcmp(first_words, 'MATLAB 7.3 MAT-file')
    error('Octave cannot read version 7.3 (%s): save it with format="mat-v5".', file);
end

% --- What is in it? -----------------------------------------------------------------------------

% `contents` is a struct: its fields are the variables in the file.
contents = load(file);

% `features` is one array, or a struct with one field for each layer. A field's name is the layer's,
% with an underscore for each sign that MATLAB does not allow: features.10 is features_10 here.
if isstruct(contents.features)
    layers = fieldnames(contents.features);
    fprintf('layers: %s\n', strjoin(layers', ', '));
    if exist('layer', 'var')
        chosen = layer;
    else
        chosen = layers{end};
    end
    X = contents.features.(chosen);
else
    chosen = 'features';
    X = contents.features;
end

% Row i belongs to image i. Numbers are in single precision as they come from a network; most
% functions of MATLAB are more exact in double.
X = double(X);
n_images = size(X, 1);
fprintf('%s: %s (images x units)\n', chosen, strjoin(arrayfun(@num2str, size(X), ...
    'UniformOutput', false), ' x '));

% --- Which image is which? ----------------------------------------------------------------------

% `labels` is a cell array of text (take one out with curly brackets), or a column of numbers.
% It is only there if labels were saved.
if isfield(contents, 'labels')
    for i = 1:min(n_images, 5)
        if iscell(contents.labels)
            fprintf('image %d: %s\n', i, contents.labels{i});
        else
            fprintf('image %d: %d\n', i, contents.labels(i));
        end
    end
end

% `targets`, if they were saved: categories or responses, one row for each image.
if isfield(contents, 'targets')
    fprintf('targets: %d rows of class %s\n', size(contents.targets, 1), class(contents.targets));
end

% --- Where does it come from? -------------------------------------------------------------------

% `skdnn` is text in JSON: the network, its weights, versions of programs, and the layers' own
% names. jsondecode makes a struct of it (MATLAB from R2016b, Octave from 7).
if exist('jsondecode', 'builtin') || exist('jsondecode', 'file')
    description = jsondecode(contents.skdnn);
    disp(description.provenance);
else
    disp(contents.skdnn);
end

% --- One row per image --------------------------------------------------------------------------

% A convolutional layer has the axes images x channels x height x width. MATLAB counts the first
% axis fastest and Python the last: turned round like this, the units come in Python's order, so
% that column j here is column j - 1 there.
flat = reshape(permute(X, [1, ndims(X):-1:2]), n_images, []);

% --- And now? -----------------------------------------------------------------------------------

% For example a representational dissimilarity matrix: 1 - the correlation of each pair of images.
% corrcoef compares columns, hence the transpose (').
rdm = 1 - corrcoef(flat');
fprintf('RDM: %d x %d, mean dissimilarity %.6f\n', size(rdm, 1), size(rdm, 2), ...
    mean(rdm(~eye(n_images))));
