"""BibTeX of what networks were trained on and how, and of software."""

TRAINING = r"""
@inproceedings{deng2009imagenet,
  author = {Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei,
    Li},
  title = {{ImageNet}: A Large-Scale Hierarchical Image Database},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2009}
}

@article{russakovsky2015imagenet,
  author = {Russakovsky, Olga and Deng, Jia and Su, Hao and Krause, Jonathan and Satheesh,
    Sanjeev and Ma, Sean and Huang, Zhiheng and Karpathy, Andrej and Khosla, Aditya and
    Bernstein, Michael and Berg, Alexander C. and Fei-Fei, Li},
  title = {{ImageNet} Large Scale Visual Recognition Challenge},
  journal = {International Journal of Computer Vision},
  volume = {115},
  pages = {211--252},
  year = {2015}
}

@article{everingham2010voc,
  author = {Everingham, Mark and Van Gool, Luc and Williams, Christopher K. I. and Winn, John
    and Zisserman, Andrew},
  title = {The {Pascal} Visual Object Classes ({VOC}) Challenge},
  journal = {International Journal of Computer Vision},
  volume = {88},
  pages = {303--338},
  year = {2010}
}

@inproceedings{lin2014coco,
  author = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona,
    Pietro and Ramanan, Deva and Doll{\'a}r, Piotr and Zitnick, C. Lawrence},
  title = {Microsoft {COCO}: Common Objects in Context},
  booktitle = {European Conference on Computer Vision},
  year = {2014}
}

@article{mehrer2021ecoset,
  author = {Mehrer, Johannes and Spoerer, Courtney J. and Jones, Emer C. and Kriegeskorte,
    Nikolaus and Kietzmann, Tim C.},
  title = {An Ecologically Motivated Image Dataset for Deep Learning Yields Better Models of
    Human Vision},
  journal = {Proceedings of the National Academy of Sciences},
  volume = {118},
  number = {8},
  year = {2021}
}

@inproceedings{singh2022swag,
  author = {Singh, Mannat and Gustafson, Laura and Adcock, Aaron and de Freitas Reis, Vinicius
    and Gedik, Bugra and Kosaraju, Raj Prateek and Mahajan, Dhruv and Girshick, Ross and
    Doll{\'a}r, Piotr and van der Maaten, Laurens},
  title = {Revisiting Weakly Supervised Pre-Training of Visual Perception Models},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022}
}

@inproceedings{schuhmann2022laion5b,
  author = {Schuhmann, Christoph and Beaumont, Romain and Vencu, Richard and Gordon, Cade and
    Wightman, Ross and Cherti, Mehdi and Coombes, Theo and Katta, Aarush and Mullis, Clayton
    and Wortsman, Mitchell and Schramowski, Patrick and Kundurthy, Srivatsa and Crowson,
    Katherine and Schmidt, Ludwig and Kaczmarczyk, Robert and Jitsev, Jenia},
  title = {{LAION-5B}: An Open Large-Scale Dataset for Training Next Generation Image-Text
    Models},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {35},
  year = {2022}
}

@inproceedings{noroozi2016jigsaw,
  author = {Noroozi, Mehdi and Favaro, Paolo},
  title = {Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles},
  booktitle = {European Conference on Computer Vision},
  year = {2016}
}

@inproceedings{gidaris2018rotnet,
  author = {Gidaris, Spyros and Singh, Praveer and Komodakis, Nikos},
  title = {Unsupervised Representation Learning by Predicting Image Rotations},
  booktitle = {International Conference on Learning Representations},
  year = {2018}
}

@inproceedings{misra2020pirl,
  author = {Misra, Ishan and van der Maaten, Laurens},
  title = {Self-Supervised Learning of Pretext-Invariant Representations},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2020}
}

@inproceedings{chen2020simclr,
  author = {Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey},
  title = {A Simple Framework for Contrastive Learning of Visual Representations},
  booktitle = {International Conference on Machine Learning},
  year = {2020}
}

@article{chen2020mocov2,
  author = {Chen, Xinlei and Fan, Haoqi and Girshick, Ross and He, Kaiming},
  title = {Improved Baselines with Momentum Contrastive Learning},
  journal = {arXiv:2003.04297},
  year = {2020}
}

@inproceedings{caron2020swav,
  author = {Caron, Mathilde and Misra, Ishan and Mairal, Julien and Goyal, Priya and
    Bojanowski, Piotr and Joulin, Armand},
  title = {Unsupervised Learning of Visual Features by Contrasting Cluster Assignments},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  year = {2020}
}

@inproceedings{zbontar2021barlow,
  author = {Zbontar, Jure and Jing, Li and Misra, Ishan and LeCun, Yann and Deny,
    St{\'e}phane},
  title = {{Barlow Twins}: Self-Supervised Learning via Redundancy Reduction},
  booktitle = {International Conference on Machine Learning},
  year = {2021}
}

@inproceedings{caron2021dino,
  author = {Caron, Mathilde and Touvron, Hugo and Misra, Ishan and J{\'e}gou, Herv{\'e} and
    Mairal, Julien and Bojanowski, Piotr and Joulin, Armand},
  title = {Emerging Properties in Self-Supervised Vision Transformers},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2021}
}

@misc{goyal2021vissl,
  author = {Goyal, Priya and Duval, Quentin and Reizenstein, Jeremy and Leavitt, Matthew and
    Xu, Min and Lefaudeux, Benjamin and Singh, Mannat and Reis, Vinicius and Caron, Mathilde
    and Bojanowski, Piotr and Joulin, Armand and Misra, Ishan},
  title = {{VISSL}},
  howpublished = {https://github.com/facebookresearch/vissl},
  year = {2021}
}

@inproceedings{bardes2022vicreg,
  author = {Bardes, Adrien and Ponce, Jean and LeCun, Yann},
  title = {{VICReg}: Variance-Invariance-Covariance Regularization for Self-Supervised
    Learning},
  booktitle = {International Conference on Learning Representations},
  year = {2022}
}

@inproceedings{he2022mae,
  author = {He, Kaiming and Chen, Xinlei and Xie, Saining and Li, Yanghao and Doll{\'a}r, Piotr
    and Girshick, Ross},
  title = {Masked Autoencoders Are Scalable Vision Learners},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022}
}
"""

SOFTWARE = r"""
@article{pedregosa2011sklearn,
  author = {Pedregosa, Fabian and Varoquaux, Ga{\"e}l and Gramfort, Alexandre and Michel,
    Vincent and Thirion, Bertrand and Grisel, Olivier and Blondel, Mathieu and Prettenhofer,
    Peter and Weiss, Ron and Dubourg, Vincent and Vanderplas, Jake and Passos, Alexandre and
    Cournapeau, David and Brucher, Matthieu and Perrot, Matthieu and Duchesnay, {\'E}douard},
  title = {Scikit-Learn: Machine Learning in {Python}},
  journal = {Journal of Machine Learning Research},
  volume = {12},
  pages = {2825--2830},
  year = {2011}
}

@misc{chollet2015keras,
  author = {Chollet, Fran{\c{c}}ois and others},
  title = {Keras},
  howpublished = {https://keras.io},
  year = {2015}
}

@inproceedings{abadi2016tensorflow,
  author = {Abadi, Mart{\'i}n and Barham, Paul and Chen, Jianmin and Chen, Zhifeng and Davis,
    Andy and Dean, Jeffrey and Devin, Matthieu and Ghemawat, Sanjay and Irving, Geoffrey and
    Isard, Michael and Kudlur, Manjunath and Levenberg, Josh and Monga, Rajat and Moore, Sherry
    and Murray, Derek G. and Steiner, Benoit and Tucker, Paul and Vasudevan, Vijay and Warden,
    Pete and Wicke, Martin and Yu, Yuan and Zheng, Xiaoqiang},
  title = {{TensorFlow}: A System for Large-Scale Machine Learning},
  booktitle = {USENIX Symposium on Operating Systems Design and Implementation},
  pages = {265--283},
  year = {2016}
}

@misc{torchvision2016,
  author = {{TorchVision maintainers and contributors}},
  title = {{TorchVision}: {PyTorch}'s Computer Vision Library},
  howpublished = {https://github.com/pytorch/vision},
  year = {2016}
}

@inproceedings{paszke2019pytorch,
  author = {Paszke, Adam and Gross, Sam and Massa, Francisco and Lerer, Adam and Bradbury,
    James and Chanan, Gregory and Killeen, Trevor and Lin, Zeming and Gimelshein, Natalia and
    Antiga, Luca and Desmaison, Alban and K{\"o}pf, Andreas and Yang, Edward and DeVito,
    Zachary and Raison, Martin and Tejani, Alykhan and Chilamkurthy, Sasank and Steiner, Benoit
    and Fang, Lu and Bai, Junjie and Chintala, Soumith},
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32},
  year = {2019}
}

@misc{wightman2019timm,
  author = {Wightman, Ross},
  title = {{PyTorch} Image Models},
  howpublished = {https://github.com/huggingface/pytorch-image-models},
  doi = {10.5281/zenodo.4414861},
  year = {2019}
}

@article{harris2020numpy,
  author = {Harris, Charles R. and Millman, K. Jarrod and van der Walt, St{\'e}fan J. and
    Gommers, Ralf and Virtanen, Pauli and Cournapeau, David and Wieser, Eric and Taylor, Julian
    and Berg, Sebastian and Smith, Nathaniel J. and others},
  title = {Array Programming with {NumPy}},
  journal = {Nature},
  volume = {585},
  pages = {357--362},
  year = {2020}
}

@misc{ilharco2021openclip,
  author = {Ilharco, Gabriel and Wortsman, Mitchell and Wightman, Ross and Gordon, Cade and
    Carlini, Nicholas and Taori, Rohan and Dave, Achal and Shankar, Vaishaal and Namkoong,
    Hongseok and Miller, John and Hajishirzi, Hannaneh and Farhadi, Ali and Schmidt, Ludwig},
  title = {{OpenCLIP}},
  doi = {10.5281/zenodo.5143773},
  year = {2021}
}

@inproceedings{cherti2023openclip,
  author = {Cherti, Mehdi and Beaumont, Romain and Wightman, Ross and Wortsman, Mitchell and
    Ilharco, Gabriel and Gordon, Cade and Schuhmann, Christoph and Schmidt, Ludwig and Jitsev,
    Jenia},
  title = {Reproducible Scaling Laws for Contrastive Language-Image Learning},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2023}
}
"""
